"""Cholec80-CVS: intervals in minutes and seconds, some turned around, some beyond what counts."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.assessment.cholec80_cvs import (
    CRITERIA,
    LAST_FRAMES,
    Interval,
    holding,
    window,
)
from surgstream.shards.releases.conversion import convert
from surgstream.shards.releases.registry import find_release
from tests.helpers.releases import lay, seconds, small
from tests.helpers.workbooks import Cell, workbook

HEADER = (
    "video", "critical_view", "initial_minute", "initial_second", "final_minute", "final_second", *CRITERIA, "Total",
)  # fmt: skip


def row(video: int, times: tuple[int, int, int, int], *scores: int) -> tuple[Cell, ...]:
    total = sum(scores)
    return (video, int(total >= 5), *times, *scores, total)


ROWS = (HEADER, row(33, (4, 0, 5, 0), 1, 0, 2), row(33, (1, 0, 2, 0), 0, 0, 0))
FILES = {"surgeons_annotations.xlsx": workbook(*ROWS)}


def release(root: Path, *rows: tuple[Cell, ...]) -> Path:
    return lay(root, {"surgeons_annotations.xlsx": workbook(HEADER, *rows)})


def test_criteria_are_those_of_the_last_part_and_scores_of_all_intervals(tmp_path: Path) -> None:
    # Of video 38 the last frame that counts is 8,299 - 25 * 331 + 24 - in its second 331; the last 15 % begin at 282.
    assert LAST_FRAMES[77] == 8_299
    root = release(
        tmp_path,
        row(78, (0, 1, 0, 2), 0, 0, 0),
        row(78, (4, 45, 5, 0), 1, 0, 2),
        row(78, (4, 55, 9, 0), 0, 1, 0),
        row(78, (5, 0, 4, 0), 2, 2, 2),
    )

    criteria = seconds(small("cholec80_cvs"), root, "criteria")["video78"]
    assert [second for second, _ in criteria] == list(range(282, 332))
    assert dict(criteria) == (
        dict.fromkeys(range(282, 285), "")
        | dict.fromkeys(range(285, 295), "two_structures;hepatocystic_triangle")
        | dict.fromkeys(range(295, 332), "cystic_plate")
    )

    scores = seconds(small("cholec80_cvs"), root, "score")["video78"]
    assert dict(scores) == (
        dict.fromkeys((1, 2), "0")
        | dict.fromkeys(range(285, 295), "3")
        | dict.fromkeys(range(295, 332), "1")
    )


@given(
    stretches=st.lists(
        st.tuples(
            st.integers(0, 40),
            st.integers(0, 40),
            st.sampled_from(list(product(range(3), repeat=3))),
        ),
        max_size=6,
    ),
    last=st.integers(0, 40),
)
def test_what_holds_is_what_the_authors_write_into_frames(
    stretches: list[tuple[int, int, tuple[int, ...]]], last: int
) -> None:
    # They fill frames from each line that scores above 0, one after the other.
    frames: dict[int, tuple[int, ...]] = {}
    for start, stop, scores in stretches:
        if sum(scores) > 0:
            for frame in range(25 * start, 25 * stop + 1):
                frames[frame] = scores
    expected = {s: frames[25 * s] for s in range(last + 1) if 25 * s in frames}

    intervals = [
        Interval(start=start, stop=stop, scores=scores) for start, stop, scores in stretches
    ]
    found = holding(intervals, last)

    assert list(found) == sorted(found)
    assert {s: held.scores for s, held in found.items() if held.total > 0} == expected
    zeros = {s for start, stop, scores in stretches for s in range(start, stop + 1)}
    assert set(found) == {s for s in zeros if s <= last}


def test_all_videos_have_as_many_rows_as_the_authors_have_seconds(tmp_path: Path) -> None:
    rows = [row(video, (0, 0, 0, 5), 0, 0, 0) for video in range(1, 81)]
    root = release(tmp_path / "raw", *rows)

    converted = convert(find_release("cholec80_cvs"), root, tmp_path / "labels")
    assert converted.notes == ()
    assert sum(converted.tallies["criteria"].num_rows.values()) == 62_760 // 5


@given(st.integers(0, 200_000))
def test_the_window_is_what_is_left_once_85_per_cent_are_gone(last_frame: int) -> None:
    # The authors' words: whole seconds of 85 % of the frames go, and of each begun second of the others 5 frames stay.
    frames = list(range(last_frame + 1))
    left = frames[int(len(frames) * 0.85 / 25) * 25 :]
    assert list(window(last_frame)) == [frame // 25 for frame in left[::25]]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (row(81, (0, 0, 0, 1), 0, 0, 0), r"line 2: video: expected 1 to 80, got '81'"),
        (row(1, (0, 0, 0, 1), 0, 3, 0), r"line 2: cystic_plate: expected 0 to 2, got '3'"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, wrong: tuple[Cell, ...], message: str) -> None:
    with pytest.raises(ReleaseError, match=message):
        seconds(small("cholec80_cvs"), release(tmp_path, wrong), "score")


def test_the_workbook_may_have_either_name_and_not_both(tmp_path: Path) -> None:
    book = workbook(HEADER, row(1, (0, 0, 0, 1), 0, 0, 0))
    lay(tmp_path, {"cholec80-CVS.xlsx": book})
    assert seconds(small("cholec80_cvs"), tmp_path, "score") == {"video01": [(0, "0"), (1, "0")]}

    lay(tmp_path, {"surgeons_annotations.xlsx": book})
    with pytest.raises(ReleaseError, match=r"expected one of .*, got 2"):
        seconds(small("cholec80_cvs"), tmp_path, "score")
