"""The parts that themes with training share: a recipe, clips on the device, and the real loop."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from surgstream.benchmarks.support.harness import join_once
from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import load
from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.config import CheckpointConfig
from surgstream.trainer.engine.guards.watchdog import Watchdog
from surgstream.trainer.engine.loop import Guards, Trainer
from surgstream.trainer.engine.metrics import Reporting
from surgstream.trainer.engine.preemption.agreement import StopConsensus, open_store
from surgstream.trainer.engine.preemption.flags import SignalFlag
from surgstream.trainer.engine.profile import Profiler
from surgstream.trainer.engine.schedules import Progress, TrainingPlan
from surgstream.trainer.health.gpus import NvmlGpu
from surgstream.trainer.health.watch import HardwareWatch
from surgstream.trainer.networks import build_engine, build_objective, noise_batch
from surgstream.trainer.objectives.config import SurgVistaConfig
from surgstream.trainer.session.directory import prepare_run_dir

# Speed does not depend on what a teacher has learned, nor on the rate of what is read.
_ANY_MATERIAL = (
    "objective.teacher.weights=null",
    "objective.teacher.allow_random=true",
    "data.fps=null",
)
_NUM_RESIDENT = 2


def load_recipe(words: Sequence[str], run_dir: Path, *ours: str) -> TrainConfig:
    """Load a recipe for one process, with a random teacher.

    Args:
        words: Its path, then overrides.
        run_dir: The run directory.
        ours: Overrides before those.
    """
    path, *overrides = words
    return load(TrainConfig, path, [f"run_dir={run_dir}", *_ANY_MATERIAL, *ours, *overrides])


def surgvista_of(config: TrainConfig) -> SurgVistaConfig:
    """The objective of a recipe, where a comparison is with SurgVISTA's published step.

    Raises:
        ConfigError: It is another.
    """
    if not isinstance(config.objective, SurgVistaConfig):
        raise ConfigError(
            "objective.name: expected surgvista, which is compared here, got "
            f"{config.objective.name}"
        )
    return config.objective


def resident_batches(
    config: TrainConfig, device: torch.device, count: int = _NUM_RESIDENT
) -> list[ClipBatch]:
    """Micro-batches of noise on the device, strided as the loader's are."""
    size = config.micro_batch_size
    return [noise_batch(config, device, first_draw=number * size) for number in range(count)]


def make_plan(config: TrainConfig) -> TrainingPlan:
    """The recipe's schedule, of its own epochs or of epochs of a million clips."""
    return config.plan(
        num_clips=10**6, world_size=1, start=Progress(step=0, clips_seen=0, state={})
    )


def make_trainer(config: TrainConfig, batches: Iterator[ClipBatch]) -> Trainer:
    """The real loop in this process, with reports every 20 steps and a checkpoint every 100, without pictures."""
    rank_info = join_once()
    run_dir = Path(config.run_dir)
    start = Progress(step=0, clips_seen=0, state={})
    prepare_run_dir(config, rank_info, start)
    objective = build_objective(config, rank_info.device)

    return Trainer(
        build_engine(
            config, objective, rank_info.device, grad_accum_steps=config.grad_accum_steps(1)
        ),
        objective,
        batches,
        plan=make_plan(config),
        progress=start,
        rank_info=rank_info,
        run_dir=run_dir,
        reporting=Reporting(
            every_steps=20,
            watch=lambda _: {},
            hardware=HardwareWatch(NvmlGpu.open(rank_info.device), 0, speaks=False),
            audit_log=config.data.audit_log,
        ),
        checkpoint=CheckpointConfig(every_steps=100, keep_last=2),
        periodic=(),
        guards=Guards(
            agreement=StopConsensus(SignalFlag(), open_store(rank_info, 600), rank_info),
            watchdog=Watchdog(600),
            profiler=Profiler(SignalFlag(), rank_info, run_dir),
            check_owner=lambda: None,
        ),
    )


def take_steps(trainer: Trainer, num_steps: int) -> int:
    """Take steps of the real loop and report them once, which waits for the device; returns the clips."""
    for _ in range(num_steps):
        trainer.train_step()
    trainer.report_metrics(tqdm(disable=True))
    return num_steps * trainer.plan.global_batch_size


def num_steps(config: TrainConfig, num_clips: int) -> int:
    """The number of steps that take at least a number of clips."""
    return -(-num_clips // config.global_batch_size)


def precision(config: TrainConfig, device: torch.device) -> torch.dtype:
    """The type in which the engine multiplies matrices."""
    on_gpu = device.type == "cuda"
    autocast = config.parallel.autocast
    return (
        torch.bfloat16 if autocast == "bf16" or (autocast == "auto" and on_gpu) else torch.float32
    )
