"""What holds when: against the rules, read row by row."""

import numpy as np
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
