"""PmLR50: a header whose words nobody knows, a row a second, phases by number."""

from pathlib import Path

import pytest

from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.workflow.pmlr50 import RELEASES
from tests.helpers.releases import lay, seconds, small

HEADER = "Frame\tPhase\n"
FILE = "phase_annotations/07.txt"
FILES = {FILE: f"{HEADER}0\t0\n1\t1\n2\t1\n3\t4\n"}


@pytest.mark.parametrize("header", [HEADER, "frame_id phase\n", ""])
def test_phases_are_those_of_the_rows(tmp_path: Path, header: str) -> None:
    content = FILES[FILE].replace(HEADER, header)
    lay(tmp_path, {FILE: content, "frames/07/00000000.jpg": b""})

    assert seconds(small("pmlr50"), tmp_path, "phase") == {
        "07": [
            (0, "preparation_stage"),
            (1, "knotting_of_the_foley_catheter"),
            (2, "knotting_of_the_foley_catheter"),
            (3, "postprocessing_stage"),
        ]
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            f"{HEADER}0\t0\n1\t5\n",
            r"07\.txt: line 3: phase: expected one of 0, 1, 2, 3, 4, got '5'",
        ),
        (f"{HEADER}0\t0\nx\t1\n", r"07\.txt: line 3: frame: expected a whole number, got 'x'"),
        (f"{HEADER}0\n", r"07\.txt: line 2: expected 2 columns, got 1"),
    ],
)
def test_what_is_damaged_is_told_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    lay(tmp_path, {FILE: content})
    with pytest.raises(ReleaseError, match=message):
        seconds(small("pmlr50"), tmp_path, "phase")


def test_the_counts_are_of_the_fifty_videos_each_once() -> None:
    counts = RELEASES[0].counts
    assert sum(len(count.videos) for count in counts) == 50
    assert frozenset().union(*(count.videos for count in counts)) == {
        f"{number:02d}" for number in range(1, 51)
    }
    assert sum(count.num_rows or 0 for count in counts) == 25_037  # as the release's abstract says
