"""One step of the recipe's model on made-up clips: do weights, compilation and memory allow it?"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from surgstream.trainer.config import TrainConfig
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.errors import PreflightError
from surgstream.trainer.networks import build_engine, build_objective, noise_batch
from surgstream.trainer.objectives.base import Objective
from surgstream.trainer.preflight.judgement.report import StepMemory

_GIB = 2**30


def build_model(config: TrainConfig, rank_info: RankInfo) -> Objective:
    """Build the objective on this rank's device, as a run does.

    Raises:
        ModelError: The teacher's weights are missing or do not fit.
        PreflightError: The GPU's memory does not hold it.
    """
    with _memory(config):
        return build_objective(config, rank_info.device)


def take_step(config: TrainConfig, rank_info: RankInfo, objective: Objective) -> StepMemory:
    """Take one step on random clips; collective.

    Two micro-batches are accumulated where the recipe accumulates, since gradients are then kept between them.

    Raises:
        PreflightError: The GPU's memory does not hold it; the message says which micro-batch to try.
    """
    device = rank_info.device
    num_micro_batches = min(2, config.grad_accum_steps(rank_info.world_size))
    with _memory(config):
        engine = build_engine(config, objective, device, grad_accum_steps=num_micro_batches)

        for _ in range(num_micro_batches):
            # The masks that need most memory, of those that some steps draw.
            batch = objective.worst_case(noise_batch(config, device))
            with engine.autocast():
                targets = objective.targets(batch)
            engine.backward(engine(batch, targets).loss)
            engine.step(lr=0.0)
        if device.type != "cuda":
            return StepMemory(peak_gib=0.0, gib=0.0)

        torch.cuda.synchronize(device)
    all_memory = torch.cuda.get_device_properties(device).total_memory
    peak = torch.cuda.max_memory_reserved(device)
    return StepMemory(peak_gib=peak / _GIB, gib=all_memory / _GIB)


@contextmanager
def _memory(config: TrainConfig) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        size = config.micro_batch_size
        smaller = [divisor for divisor in range(1, size) if size % divisor == 0]
        advice = "try parallel.zero_stage=2"
        if smaller:
            advice = f"try micro_batch_size={smaller[-1]}"
        raise PreflightError(
            f"one step with micro_batch_size {size} does not fit into the GPU's memory; "
            f"{advice}, or objective.encoder.activation_checkpointing=true"
        ) from None
