"""Numbers as runs, against the numbers one by one."""

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.reading.subsets.runs import Runs

# Small steps often repeat, and so make runs.
NUMBERS = st.tuples(st.integers(-20, 20), st.lists(st.integers(1, 3), max_size=30)).map(
    lambda drawn: (drawn[0] + np.cumsum([0, *drawn[1]])).tolist()
)
RANGES = st.lists(
    st.builds(
        lambda first, count, step: range(first, first + count * step, step),
        st.integers(-9, 9),
        st.integers(0, 5),
        st.integers(1, 4),
    )
)


@given(NUMBERS | st.just([]))
def test_runs_have_the_numbers(numbers: list[int]) -> None:
    runs = Runs.of(np.array(numbers, np.int64))
    assert len(runs) == len(numbers)
    assert runs.all().tolist() == numbers
    assert [number for block in runs.blocks() for number in block] == numbers
    assert [number for each in runs.ranges() for number in each] == numbers
    assert (runs.steps >= 1).all() and (runs.counts >= 1).all()


@given(NUMBERS, st.lists(st.integers(-30, 90)))
def test_numbers_below_a_bound_are_counted(numbers: list[int], bounds: list[int]) -> None:
    found = Runs.of(np.array(numbers, np.int64)).count_below(np.array(bounds, np.int64))
    assert found.tolist() == [sum(number < bound for number in numbers) for bound in bounds]


def test_of_no_number_none_is_below() -> None:
    assert Runs.of(np.array([], np.int64)).count_below(np.array([3])).tolist() == [0]


@given(RANGES)
def test_ranges_follow_each_other(ranges: list[range]) -> None:
    runs = Runs.of_ranges(ranges)
    numbers = [number for each in ranges for number in each]
    assert runs.all().tolist() == numbers
    owners = [i for i, each in enumerate(filter(len, ranges)) for _ in each]
    assert runs.run_of(np.arange(len(numbers))).tolist() == owners


def test_a_run_is_as_long_as_it_can_be() -> None:
    numbers = np.array([0, 1, 2, 10, 12, 14, 15, 16, 30])
    assert [*Runs.of(numbers).ranges()] == [
        range(3),
        range(10, 15, 2),
        range(15, 17),
        range(30, 31),
    ]


def test_a_block_is_small_and_memory_grows_with_the_breaks() -> None:
    tracemalloc.start()
    runs = Runs.of_ranges([range(0, 10**7, 2), range(10**7 + 1, 2 * 10**7)])
    num_numbers = sum(block.size for block in runs.blocks())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert num_numbers == len(runs) == 15 * 10**6 - 1
    assert most < 10**7
