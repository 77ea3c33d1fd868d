"""Times in ticks say what fractions of seconds say."""

import itertools
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.video.sampling import Scale, Shown, pick

steps = st.fractions(Fraction(1, 10**6), 1, max_denominator=10**6)
rates = st.fractions(Fraction(1, 20), 60, max_denominator=1001)


@given(step=steps, other=steps, foreign=steps, stamp=st.integers(-(2**40), 2**40))
def test_ticks_are_exact(step: Fraction, other: Fraction, foreign: Fraction, stamp: int) -> None:
    scale = Scale(step, [other])
    for each in (step, step / 2, other, foreign):
        assert (
            scale.seconds(scale.of_stamp(stamp, each))
            == scale.seconds(scale.of(stamp * each))
            == stamp * each
        )
    assert all(isinstance(scale.of_stamp(stamp, each), int) for each in (step, step / 2, other)), (
        "and quick"
    )


@given(step=steps, fps=rates, gaps=st.lists(st.integers(1, 1000), min_size=1, max_size=30))
def test_the_same_pictures_are_picked_by_ticks_and_by_seconds(
    step: Fraction, fps: Fraction, gaps: list[int]
) -> None:
    scale, stamps = Scale(step), list(itertools.accumulate(gaps, initial=0))
    by_ticks, by_seconds = (
        [Shown(time(start), time(stop), start) for start, stop in itertools.pairwise(stamps)]
        for time in (lambda stamp: scale.of_stamp(stamp, step), lambda stamp: stamp * step)
    )
    first_ones = zip(pick(by_ticks, fps / scale.per_second), pick(by_seconds, fps), strict=True)
    assert all(one == other for one, other in itertools.islice(first_ones, 1000))
