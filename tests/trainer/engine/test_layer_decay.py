"""Layer decay: each depth has its own rate, at every ZeRO stage and over resumes on another number of ranks."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from surgstream.trainer.engine.config import OptimConfig
from surgstream.trainer.engine.parameter_groups import parameter_groups
from surgstream.trainer.models.config import EncoderConfig
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.config import SupervisedConfig
from tests.helpers.ranks import finish, start_ranks

OPTIM = OptimConfig(layer_decay=0.5, weight_decay=0.1, beta2=0.999)
CONFIG = SupervisedConfig(
    encoder=EncoderConfig(
        embed_dim=16, depth=2, num_heads=2, image_size=16, num_frames=2, patch_size=8, drop_path=0.3
    ),
    kind="class",
    num_outputs=3,
    init_scale=1.0,
)
STEPS = 4
BATCH = 4
LRS = [1e-2 / (1 + step % 3) for step in range(2 * STEPS)]

Losses = list[float]


def objective() -> Any:
    return choice.build(CONFIG, seed=3)


def batch_of(step: int, rows: slice = slice(None)) -> Any:
    from tests.trainer.objectives.test_surgvista import clip_batch

    draws = range(BATCH * step, BATCH * (step + 1))[rows]
    labels = torch.tensor([draw % 3 for draw in draws])
    return replace(clip_batch(draws, size=16, frames=2), labels=labels)


def plain_losses() -> Losses:
    """The same training by AdamW written out, a parameter at a time, with rates told by names."""
    module = objective()
    depth = {"encoder.embedding": 0, "encoder.blocks.0": 1, "encoder.blocks.1": 2}
    moments: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    losses = []
    for step, lr in enumerate(LRS):
        batch = batch_of(step)
        module.zero_grad()
        loss = module(batch, module.targets(batch)).loss
        loss.backward()
        losses.append(loss.item())
        with torch.no_grad():
            for name, p in module.named_parameters():
                layer = next((d for start, d in depth.items() if name.startswith(start)), 3)
                rate = lr * 0.5 ** (3 - layer)
                m, v = moments.get(name, (torch.zeros_like(p), torch.zeros_like(p)))
                m, v = 0.9 * m + 0.1 * p.grad, 0.999 * v + 0.001 * p.grad**2
                moments[name] = (m, v)
                p.mul_(1 - rate * (0.1 if p.ndim > 1 else 0.0))
                m_hat, v_hat = m / (1 - 0.9 ** (step + 1)), v / (1 - 0.999 ** (step + 1))
                p.sub_(rate * m_hat / (v_hat.sqrt() + 1e-8))
    return losses


def train_half(folder: str, stage: int, half: int) -> None:
    """On each rank: the first or the second half of the training, from one checkpoint to the next."""
    from surgstream.trainer.distributed import (
        leave,
        mean_over_ranks,
        rank_info_from_environment,
    )
    from surgstream.trainer.engine.checkpoint import (
        load_moments,
        load_parameters,
        save_checkpoint,
    )
    from surgstream.trainer.engine.config import ParallelConfig
    from surgstream.trainer.engine.schedules import Progress
    from surgstream.trainer.engine.zero import ZeroEngine
    from surgstream.trainer.joining import join

    rank_info = rank_info_from_environment(os.environ)
    join(rank_info, 60)
    share = BATCH // rank_info.world_size
    mine = slice(rank_info.rank * share, (rank_info.rank + 1) * share)
    saved = Path(folder) / "step_00000004"

    module = objective()
    if half:
        load_parameters(saved, module)
    engine = ZeroEngine(
        module,
        OPTIM,
        ParallelConfig(zero_stage=stage),
        micro_batch_size=share,
        grad_accum_steps=1,
        device=rank_info.device,
    )
    if half:
        load_moments(saved, engine)

    losses = []
    for step in range(STEPS * half, STEPS * (half + 1)):
        batch = batch_of(step, mine)
        loss = engine(batch, module.targets(batch)).loss
        engine.backward(loss)
        engine.step(LRS[step])
        losses.append(mean_over_ranks(loss.detach().clone()).item())

    progress = Progress(step=STEPS * (half + 1), clips_seen=0, state={})
    save_checkpoint(Path(folder), engine, progress)
    if rank_info.is_main:
        (Path(folder) / f"losses{half}.json").write_text(json.dumps(losses))
    leave()


def test_without_it_there_are_the_two_groups_of_ever() -> None:
    module = objective()
    groups = parameter_groups(module, 0.1)
    assert [(group["weight_decay"], group["lr_scale"]) for group in groups] == [(0.1, 1), (0.0, 1)]
    # What has no depths has none to decay by
    layers = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    assert [group["lr_scale"] for group in parameter_groups(layers, 0.1, 0.5)] == [1, 1]


def test_every_parameter_is_in_the_group_of_its_depth() -> None:
    module = objective()
    scale = {
        id(p): group["lr_scale"]
        for group in parameter_groups(module, 0.1, 0.5)
        for p in group["params"]
    }
    assert len(scale) == len(list(module.parameters()))
    for name, p in module.named_parameters():
        assert scale[id(p)] == 0.5 ** (3 - module.depth_of(name)), name
    assert scale[id(module.head.weight)] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second"), [((2, 1), (1, 3)), ((1, 3), (2, 2)), ((2, 3), (2, 1))], ids=str
)
def test_two_halves_at_other_stages_and_ranks_are_adamw_written_out(
    first: tuple[int, int], second: tuple[int, int], tmp_path: Path
) -> None:
    losses: Losses = []
    for half, (world_size, stage) in enumerate((first, second)):
        ranks = start_ranks(train_half, world_size, (str(tmp_path), stage, half))
        assert finish(ranks) == [0] * world_size
        losses += json.loads((tmp_path / f"losses{half}.json").read_text())
    assert losses == pytest.approx(plain_losses(), abs=2e-6)


def test_the_head_of_a_single_number_is_a_matrix_and_decays() -> None:
    decayed, undecayed = parameter_groups(torch.nn.Linear(4, 1), 0.1)
    assert [tuple(p.shape) for p in decayed["params"]] == [(1, 4)]
    assert decayed["weight_decay"] == 0.1
    assert [tuple(p.shape) for p in undecayed["params"]] == [(1,)]
