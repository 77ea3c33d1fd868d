"""Seconds as runs of ticks, against the seconds one by one."""

from itertools import accumulate
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.labels.moments import Moments

STEPS = st.lists(st.integers(1, 3), max_size=25)
TICKS = st.sampled_from([1, 2, 3, 10, 25, 30, 29.97, 1000])


@st.composite
def seconds(draw: st.DrawFn) -> list[float]:
    """Growing numbers, of any rate, as they are or as they are written in files."""
    numbers = accumulate(draw(STEPS), initial=draw(st.integers(-9, 9)))
    ticks = draw(TICKS)
    digits = draw(st.none() | st.just(3))
    exact = [number / ticks for number in numbers]
    return exact if digits is None else [round(each, digits) for each in exact]


@given(seconds(), st.data())
def test_seconds_are_the_same_to_the_last_bit(numbers: list[float], data: st.DataObject) -> None:
    moments = Moments(np.array(numbers))
    assert len(moments) == len(numbers)
    assert moments.all().tolist() == numbers
    places = data.draw(st.lists(st.integers(0, len(numbers) - 1)))
    assert moments.at(np.array(places, np.int64)).tolist() == [numbers[i] for i in places]


@given(seconds(), st.lists(st.floats(-20, 60)), st.sampled_from(["left", "right"]))
def test_seconds_are_found_as_numpy_finds_them(
    numbers: list[float], others: list[float], side: Literal["left", "right"]
) -> None:
    """Asked for themselves, for their neighbours among floats, and for others."""
    asked = np.array(
        [*numbers, *np.nextafter(numbers, 99), *np.nextafter(numbers, -99), *others, 1e300]
    )
    expected = np.searchsorted(np.array(numbers), asked, side=side)
    assert Moments(np.array(numbers)).search(asked, side).tolist() == expected.tolist()


@pytest.mark.parametrize("numbers", [[], [1e300], [-1e200, 0.1, 1e16]])
def test_seconds_that_are_no_ticks_are_kept(numbers: list[float]) -> None:
    moments = Moments(np.array(numbers))
    assert moments.all().tolist() == numbers
    assert moments.search(np.array([0.2]), "left").tolist() == [sum(n < 0.2 for n in numbers)]
