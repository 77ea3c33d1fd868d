import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.releases.seconds import Interval, covered_seconds, whole_seconds
from surgstream.shards.releases.tables import Line

INTERVALS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 40), st.sampled_from("abc")).map(
        lambda item: (min(item[:2]) / 4, max(item[:2]) / 4, item[2])
    ),
    max_size=6,
)


@given(INTERVALS)
def test_a_second_has_the_label_of_the_last_interval_that_covers_it(
    intervals: list[Interval],
) -> None:
    expected = []
    for second in range(12):
        labels = [label for start, end, label in intervals if start <= second < end]
        expected += [(second, label) for label in labels[-1:]]
    assert covered_seconds(intervals) == tuple(expected)


@given(st.integers(0, 200), st.integers(1, 30))
def test_the_frames_that_begin_a_second_are_all_multiples(num_frames: int, fps: int) -> None:
    lines = [Line(Path("t"), i, {"Frame": str(i), "label": f"l{i}"}) for i in range(num_frames)]
    rows = list(whole_seconds(lines, lambda line: line.text("label"), fps=fps))
    assert rows == [(second, f"l{second * fps}") for second in range(math.ceil(num_frames / fps))]


def test_what_is_not_at_a_whole_second_is_not_even_read() -> None:
    lines = [Line(Path("t"), i, {"Frame": str(i)}) for i in range(1, 25)]
    assert list(whole_seconds(lines, lambda line: line.text("missing"))) == []
