import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.engine.schedules import learning_rate

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
