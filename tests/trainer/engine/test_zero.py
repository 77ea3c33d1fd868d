"""ZeRO stages 1 to 3 and any number of ranks are one optimizer, and pass their state to each other."""

import json
import os
from itertools import chain
from pathlib import Path

import pytest
import torch

from tests.helpers.ranks import finish, start_ranks

pytestmark = pytest.mark.slow

STEPS = 8
BATCH = 12
LRS = [1e-2 / (1 + step % 5) for step in range(2 * STEPS)]
DECAYS = [0.5 * step for step in range(2 * STEPS)]
"""From 0 on, so that what is decayed is not told by it."""


def network(seed: int = 0) -> torch.nn.Module:
    """Layers whose sizes no number of ranks divides, in two parameter groups (weights, biases)."""
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(7, 33), torch.nn.GELU(), torch.nn.Linear(33, 5))


def batches() -> torch.Tensor:
    return torch.randn(2 * STEPS, BATCH, 7, generator=torch.Generator().manual_seed(1))


def plain_losses() -> list[float]:
    """The same training in torch: AdamW, clipping, decay of matrices only, other rates and decays each step."""
    module = network()
    groups = [
        {"params": [p for p in module.parameters() if p.ndim == 2]},
        {"params": [p for p in module.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95))
    losses = []
    for batch, lr, decay in zip(batches(), LRS, DECAYS, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.param_groups[0]["weight_decay"] = decay
        loss = module(batch).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 0.05)
        optimizer.step()
        losses.append(loss.item())
    return losses


def train_in_every_stage(out: str) -> None:
    """On each rank: for each stage the losses, and from each stage into each other the losses after the change."""
    import torch.distributed as dist

    from surgstream.trainer.distributed import (
        all_gather,
        collective_timeout,
        leave,
        mean_over_ranks,
        rank_info_from_environment,
    )
    from surgstream.trainer.engine.config import OptimConfig, ParallelConfig
    from surgstream.trainer.engine.zero import ZeroEngine
    from surgstream.trainer.joining import join

    rank_info = rank_info_from_environment(os.environ)
    join(rank_info, 60)
    share = BATCH // rank_info.world_size
    micro_batches = min(2, rank_info.world_size)
    mine = slice(rank_info.rank * share, (rank_info.rank + 1) * share)

    def wrap(module: torch.nn.Module, stage: int) -> ZeroEngine:
        return ZeroEngine(
            module,
            OptimConfig(clip_grad_norm=0.05, weight_decay=DECAYS[0]),
            ParallelConfig(zero_stage=stage),
            micro_batch_size=share // micro_batches,
            grad_accum_steps=micro_batches,
            device=rank_info.device,
        )

    def train(engine: ZeroEngine, steps: slice) -> list[float]:
        losses = []
        for batch, lr, decay in zip(batches()[steps], LRS[steps], DECAYS[steps], strict=True):
            parts = []
            for part in batch[mine].chunk(micro_batches):
                parts.append(engine(part).pow(2).mean())
                engine.backward(parts[-1])
                engine.step(lr, decay)
            losses.append(mean_over_ranks(torch.stack(parts).detach().mean()).item())
        return losses

    results = {}
    for stage in (1, 2, 3):
        # Rank 0's weights are those of all ranks.
        engine = wrap(network(seed=rank_info.rank), stage)
        reducing = engine._engine.optimizer.dp_process_group._get_backend(rank_info.device)
        assert reducing.options._timeout == collective_timeout(1800, rank_info.device)
        first = train(engine, slice(0, STEPS))
        state = {
            name: {kind: t.clone() for kind, t in tensors.items()}
            for name, tensors in engine.full_state()
        }
        results[f"{stage}"] = first + train(engine, slice(STEPS, None))
        shares = all_gather({name: [*engine.owned(name)] for name in state})
        for name, shape in engine.shapes.items():
            assert [*chain(*(share[name] for share in shares))] == [*range(shape.numel())]
        for other in (1, 2, 3):
            module = network(seed=rank_info.rank)
            if rank_info.is_main:
                module.load_state_dict({name: tensors["param"] for name, tensors in state.items()})
            resumed = wrap(module, other)
            for name, tensors in state.items():
                for moment in ("exp_avg", "exp_avg_sq"):
                    part = tensors[moment].flatten()[list(resumed.owned(name))]
                    resumed.load_moment(name, moment, part)
            resumed.set_optimizer_step(STEPS)
            results[f"{stage} to {other}"] = first + train(resumed, slice(STEPS, None))
        for part in batches()[0][mine].chunk(micro_batches):
            engine.backward(engine(part).sum() * float("nan"))
            engine.step(1e-2)
        results[f"{stage} norm of nan"] = [float(engine.grad_norm())]
    if dist.get_rank() == 0:
        Path(out).write_text(json.dumps(results))
    leave()


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_every_stage_equals_plain_torch_before_and_after_any_change_of_stage(
    world_size: int, tmp_path: Path
) -> None:
    out = tmp_path / "losses.json"
    assert finish(start_ranks(train_in_every_stage, world_size, (str(out),))) == [0] * world_size
    results = json.loads(out.read_text())
    norms = [results.pop(f"{stage} norm of nan")[0] for stage in (1, 2, 3)]
    assert not any(map(torch.isfinite, torch.tensor(norms))), "a NaN gradient must show in the norm"
    assert len(results) == 12
    for name, losses in results.items():
        assert losses == pytest.approx(plain_losses(), abs=1e-6), name
