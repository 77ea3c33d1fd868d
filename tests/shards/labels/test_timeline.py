"""What holds when: against the rules, read row by row."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.labels.timeline import Timeline
from surgstream.shards.labels.values import LabelValues

SPACE = LabelValues(kind="class", classes=tuple("abcd"))

# Quarters of a second are exact.
ROWS = st.dictionaries(st.integers(0, 60).map(lambda n: n / 4), st.none() | st.integers(0, 3))
TIMES = st.lists(st.integers(-8, 80).map(lambda n: n / 4), max_size=12)
APART = st.sampled_from((0.25, 0.5, 1.0, 4.0))


def timeline(rows: dict[float, int | None]) -> Timeline:
    return Timeline(sorted(rows), [rows[second] for second in sorted(rows)], SPACE)


@given(ROWS)
def test_rows_are_the_labelled_ones_in_order(rows: dict[float, int | None]) -> None:
    found = timeline(rows).rows()
    expected = [(second, rows[second]) for second in sorted(rows) if rows[second] is not None]
    assert [*zip(found.seconds.tolist(), found.truth.tolist(), strict=True)] == expected


@given(ROWS, TIMES)
def test_a_row_holds_until_the_next_labelled_or_not(
    rows: dict[float, int | None], times: list[float]
) -> None:
    found = timeline(rows).holding(np.array(times))
    for time, labelled, truth in zip(times, found.labelled, found.truth, strict=True):
        before = [second for second in rows if second <= time]
        expected = rows[max(before)] if before else None
        assert labelled == (expected is not None)
        assert not labelled or truth == expected


@given(ROWS, TIMES, APART)
def test_an_instant_is_the_frame_nearest_to_it(
    rows: dict[float, int | None], times: list[float], apart: float
) -> None:
    found = timeline(rows).nearest(np.array(times), apart)
    for time, labelled, truth in zip(times, found.labelled, found.truth, strict=True):
        near = [second for second in rows if -apart / 2 <= second - time < apart / 2]
        nearest = min(near, key=lambda second: (abs(second - time), second), default=None)
        expected = None if nearest is None else rows[nearest]
        assert labelled == (expected is not None)
        assert not labelled or truth == expected


@given(ROWS, APART)
def test_on_a_grid_of_frames_no_instant_labels_two(
    rows: dict[float, int | None], apart: float
) -> None:
    """Each row alone, so that no other one hides what it labels."""
    frames = np.arange(-4, 24, apart)
    for second, value in rows.items():
        if value is not None:
            found = Timeline([second], [value], SPACE).nearest(frames, apart)
            assert found.labelled.sum() == 1


@given(ROWS, TIMES)
def test_the_nearest_row_is_a_labelled_one(
    rows: dict[float, int | None], times: list[float]
) -> None:
    labelled = [second for second in rows if rows[second] is not None]
    if not labelled:
        with pytest.raises(IndexError):
            timeline(rows).nearest_row(np.array([0.0]))
        return

    found = timeline(rows).nearest_row(np.array(times))
    for time, truth in zip(times, found, strict=True):
        nearest = min(labelled, key=lambda second: (abs(second - time), second))
        assert truth == rows[nearest]


MANY = LabelValues(kind="multilabel", classes=tuple("abcd"))
NUMBERS = LabelValues(kind="number")


@given(st.lists(st.none() | st.sampled_from([(), (0,), (1, 3), (0, 2)])))
def test_of_several_classes_rows_keep_each(values: list[tuple[int, ...] | None]) -> None:
    found = Timeline([*map(float, range(len(values)))], values, MANY).rows()
    kept = [(second, value) for second, value in enumerate(values) if value is not None]
    assert found.seconds.tolist() == [second for second, _ in kept]
    assert [tuple(np.flatnonzero(row)) for row in found.truth] == [value for _, value in kept]


@given(st.lists(st.none() | st.integers(0, 2).map(float)))
def test_of_numbers_rows_keep_each(values: list[float | None]) -> None:
    seconds = np.arange(float(len(values)))
    found = Timeline(seconds.tolist(), values, NUMBERS)
    assert found.rows().truth.tolist() == [value for value in values if value is not None]
    held = found.holding(seconds)
    assert held.labelled.tolist() == [value is not None for value in values]
    expected = [np.nan if value is None else value for value in values]
    np.testing.assert_array_equal(held.truth, expected)


def test_memory_grows_with_changes_and_not_with_rows() -> None:
    kept = {}
    for num_rows in (100, 100_000):
        tracemalloc.start()
        found = Timeline(
            [*map(float, range(num_rows))],
            [row * 7 // num_rows % 4 for row in range(num_rows)],
            SPACE,
        )
        kept[num_rows], _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(found.rows().seconds) == num_rows
    # Other threads allocate, too: far less than a byte a row.
    assert kept[100_000] < kept[100] + 50_000
