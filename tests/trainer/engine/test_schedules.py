import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.engine.schedules import TrainingPlan, learning_rate

SHAPE = {"total": 1000, "warmup": 100, "start": 1e-6, "peak": 1e-3, "end": 1e-5}


@pytest.mark.parametrize(
    ("g", "expected"),
    [
        (0, 1e-6),
        (50, (1e-6 + 1e-3) / 2),
        (100, 1e-3),
        (550, (1e-3 + 1e-5) / 2),
        (1000, 1e-5),
        (5000, 1e-5),
    ],
)
def test_known_points(g: int, expected: float) -> None:
    assert math.isclose(learning_rate(g, **SHAPE), expected, rel_tol=1e-12)


@given(st.integers(0, 998))
def test_it_rises_then_falls(g: int) -> None:
    now, later = learning_rate(g, **SHAPE), learning_rate(g + 1, **SHAPE)
    assert (later > now) if g < 100 else (later < now)


def test_no_warm_up_starts_at_the_peak() -> None:
    assert learning_rate(0, **{**SHAPE, "warmup": 0}) == 1e-3


def test_a_linear_decay_ends_at_its_end_and_none_stays() -> None:
    linear = {
        g: learning_rate(g, **SHAPE, decay="linear") for g in (0, 50, 100, 550, 775, 1000, 5000)
    }
    quarter = 1e-3 + 0.75 * (1e-5 - 1e-3)
    assert list(linear.values()) == pytest.approx(
        [1e-6, (1e-6 + 1e-3) / 2, 1e-3, (1e-3 + 1e-5) / 2, quarter, 1e-5, 1e-5]
    )
    constant = [learning_rate(g, **SHAPE, decay="none") for g in (50, 100, 550, 5000)]
    assert constant == pytest.approx([(1e-6 + 1e-3) / 2, 1e-3, 1e-3, 1e-3])


def decaying(start: float, end: float | None, batch: int = 8) -> TrainingPlan:
    """A plan of 1000 draws that changes its weight decay."""
    return TrainingPlan(
        global_batch_size=batch, grad_accum_steps=1, last_step=1000 // batch, draws_per_epoch=1000, warmup_draws=100,
        total_draws=1000, peak_lr=1e-3, start_lr=0.0, end_lr=0.0, decay="cosine", start_weight_decay=start,
        end_weight_decay=end,
    )  # fmt: skip


def test_the_weight_decay_goes_by_half_a_cosine_whatever_the_warm_up() -> None:
    plan = decaying(0.04, 0.4)
    found = [plan.weight_decay(g) for g in (0, 250, 500, 750, 1000, 5000)]
    quarter = (1 - math.sqrt(0.5)) / 2
    expected = [0.04, 0.04 + 0.36 * quarter, 0.22, 0.4 - 0.36 * quarter, 0.4, 0.4]
    assert found == pytest.approx(expected)
    assert decaying(0.04, None).weight_decay(500) is None


@given(st.integers(0, 2000), st.floats(0, 10), st.floats(0, 10), st.sampled_from([1, 8, 40]))
def test_the_weight_decay_is_of_the_draws_alone_and_between_its_ends(
    g: int, start: float, end: float, batch: int
) -> None:
    found = decaying(start, end, batch).weight_decay(g)
    assert found is not None and found == decaying(start, end).weight_decay(g)
    assert min(start, end) - 1e-9 <= found <= max(start, end) + 1e-9
    later = decaying(start, end).weight_decay(g + 1)
    assert later is not None and (later - found) * (end - start) >= -1e-9
