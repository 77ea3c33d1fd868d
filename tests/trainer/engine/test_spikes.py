"""A step that would follow a leap of the loss is left out, on all ranks alike."""

import json
import math
import os
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.engine.guards.config import SpikeGuardConfig
from surgstream.trainer.engine.guards.spikes import SpikeGuard
from surgstream.trainer.errors import LossSpikeError
from tests.helpers.ranks import finish, process_group, start_ranks

STEPS, SPIKE = 12, 8
GUARD = SpikeGuardConfig(deviations=3.0, window=8, most_in_a_row=2)


def judged(guard: SpikeGuard, *losses: float) -> bool:
    """The verdict on a step, whose micro-batches have these losses."""
    for loss in losses:
        guard.add(torch.tensor(loss))
    return guard.forbids_step()


@given(st.lists(st.floats(0, 10), max_size=40), st.integers(2, 9), st.floats(0.1, 4))
def test_a_step_is_left_out_where_the_equation_says_so(
    losses: list[float], window: int, deviations: float
) -> None:
    config = SpikeGuardConfig(deviations=deviations, window=window, most_in_a_row=10**6)
    with process_group():
        guard = SpikeGuard(config)
        followed: list[float] = []
        for loss in losses:
            loss = torch.tensor(loss).item()
            last = followed[-window:]
            leaps = len(last) > window // 2 and loss > (
                sum(last) / len(last) + deviations * statistics.pstdev(last)
            )
            bound_is_near = len(last) > window // 2 and math.isclose(
                loss, sum(last) / len(last) + deviations * statistics.pstdev(last), rel_tol=1e-9
            )
            verdict = judged(guard, loss)
            assert verdict == leaps or bound_is_near
            if not verdict:
                followed.append(loss)


def test_the_loss_of_a_step_is_the_mean_of_its_micro_batches() -> None:
    with process_group():
        guard = SpikeGuard(GUARD)
        for _ in range(6):
            assert not judged(guard, 0.9, 1.1)
        assert not judged(guard, 0.0, 2.0), "1 in the mean, as ever"
        assert judged(guard, 1.1, 1.1)


def test_too_many_in_a_row_end_the_run() -> None:
    with process_group():
        guard = SpikeGuard(GUARD)
        for _ in range(6):
            judged(guard, 1.0)
        assert judged(guard, 2.0) and judged(guard, 2.0)
        assert not judged(guard, 1.0), (
            "a loss that came back is followed, and begins the count anew"
        )
        assert judged(guard, 2.0) and judged(guard, 2.0) and guard.num_skipped == 4
        with pytest.raises(
            LossSpikeError, match="expected losses up to 1, got 3 in a row above that"
        ):
            judged(guard, 2.0)


@pytest.mark.parametrize("rank", [0, 1])
def test_one_rank_says_so(
    rank: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with process_group():
        guard = SpikeGuard(GUARD)
        for _ in range(6):
            judged(guard, 1.0)
        monkeypatch.setattr(torch.distributed, "get_rank", lambda: rank)
        assert judged(guard, 2.0)
    assert ("a loss of 2 is above 1: its step is left out" in caplog.text) == (rank == 0)


def test_a_loss_that_is_not_finite_is_left_to_those_who_report_it() -> None:
    with process_group():
        guard = SpikeGuard(GUARD)
        for _ in range(6):
            judged(guard, 1.0)
        assert not judged(guard, math.nan) and not judged(guard, math.inf)


def test_it_goes_on_from_its_state() -> None:
    losses = [1.0, 1.2, 0.9, 1.1, 1.0, 1.05, 9.0, 1.0, 8.0]
    with process_group():
        whole = SpikeGuard(GUARD)
        expected = [judged(whole, loss) for loss in losses]
        first = SpikeGuard(GUARD)
        found = [judged(first, loss) for loss in losses[:7]]
        again = SpikeGuard(GUARD)
        again.load_state(json.loads(json.dumps(first.to_state())))
        found += [judged(again, loss) for loss in losses[7:]]
    assert found == expected and expected[6] and expected[8]
    assert again.to_state() == whole.to_state()


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(7, 33), torch.nn.GELU(), torch.nn.Linear(33, 5))


def batches() -> torch.Tensor:
    """Alike, but for one of step `SPIKE`, in which the second half leaps."""
    found = torch.randn(1, 12, 7, generator=torch.Generator().manual_seed(1)).repeat(STEPS, 1, 1)
    found[SPIKE, 6:] *= 30
    return found


def train(out: str) -> None:
    """On each rank: the weights after some steps under the guard, in every stage, and the skipped steps."""
    from surgstream.trainer.distributed import leave, rank_info_from_environment
    from surgstream.trainer.engine.config import OptimConfig, ParallelConfig
    from surgstream.trainer.engine.zero import ZeroEngine
    from surgstream.trainer.joining import join

    rank_info = rank_info_from_environment(os.environ)
    join(rank_info, 60)
    share = 12 // rank_info.world_size
    mine = slice(rank_info.rank * share, (rank_info.rank + 1) * share)

    results: dict[str, Any] = {}
    for stage in (1, 2, 3):
        engine = ZeroEngine(
            network(), OptimConfig(spike_guard=GUARD, clip_grad_norm=1.0), ParallelConfig(zero_stage=stage),
            micro_batch_size=share // 2, grad_accum_steps=2, device=rank_info.device,
        )  # fmt: skip
        for batch in batches():
            for part in batch[mine].chunk(2):
                engine.backward(engine(part).pow(2).mean())
                engine.step(1e-3)
        weights = {name: tensors["param"].tolist() for name, tensors in engine.full_state()}
        results[str(stage)] = [weights, engine.values(), engine.optimizer_step()]
    if rank_info.is_main:
        Path(out).write_text(json.dumps(results))
    leave()


def plain_weights() -> dict[str, list[Any]]:
    """The same in plain torch, which leaves out that step by its number."""
    module = network()
    groups = [
        {"params": [p for p in module.parameters() if p.ndim == 2], "weight_decay": 0.05},
        {"params": [p for p in module.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95))
    for step, batch in enumerate(batches()):
        if step == SPIKE:
            continue
        optimizer.zero_grad()
        module(batch).pow(2).mean().backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
    return {name: parameter.tolist() for name, parameter in module.named_parameters()}


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [1, 2])
def test_all_ranks_leave_the_same_step_out_and_nothing_of_it_remains(
    world_size: int, tmp_path: Path
) -> None:
    """With two ranks, the leap is on the second alone."""
    out = tmp_path / "weights.json"
    assert finish(start_ranks(train, world_size, (str(out),))) == [0] * world_size
    for weights, values, steps in json.loads(out.read_text()).values():
        assert values == {"optim/skipped_steps": 1.0} and steps == STEPS - 1
        for name, expected in plain_weights().items():
            torch.testing.assert_close(
                torch.tensor(weights[name]), torch.tensor(expected), rtol=1e-5, atol=1e-6
            )
