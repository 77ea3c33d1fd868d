"""Which frames of a video are kept."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.format.review import Decision
from surgstream.shards.packing.extract import _kept

seconds = st.integers(0, 400).map(lambda n: n / 40)
decisions = st.builds(
    lambda a, b, keep: Decision(start=min(a, b), stop=max(a, b), keep=keep),
    seconds,
    seconds,
    st.booleans(),
)


@given(
    st.lists(decisions, max_size=6),
    st.sampled_from([Fraction(1), Fraction(25), Fraction(30000, 1001)]),
)
def test_the_last_decision_about_a_frame_holds(review: list[Decision], fps: Fraction) -> None:
    numbers = [number for number in range(math.ceil(10 * fps)) if number % 7]
    expected = [
        next(
            (
                each.keep
                for each in reversed(review)
                if each.start <= round(float(number / fps), 9) < each.stop
            ),
            True,
        )
        for number in numbers
    ]
    bounds = [second * fps for each in review for second in (each.start, each.stop)]
    near = [any(abs(number - bound) < 0.006 for bound in bounds) for number in numbers]
    kept = _kept(numbers, [], review, fps)
    assert [bool(k) for k, close in zip(kept, near, strict=True) if not close] == [
        e for e, close in zip(expected, near, strict=True) if not close
    ]


@pytest.mark.parametrize(
    "fps", [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(1, 3), Fraction(25)]
)
def test_a_frame_is_decided_about_by_its_own_second(fps: Fraction) -> None:
    numbers = range(0, 20_000, 37)
    for number in (37, 370, 19_980):
        drop = Decision(start=float(number / fps), stop=float((number + 1) / fps), keep=False)
        assert np.flatnonzero(~_kept(numbers, [], [drop], fps)).tolist() == [number // 37]


@pytest.mark.slow
def test_a_hundred_thousand_decisions_take_no_time() -> None:
    review = [Decision(start=i / 50, stop=i / 50 + 1, keep=i % 2 == 0) for i in range(100_000)]
    assert _kept(range(3000), [], review, Fraction(1)).sum() > 0
