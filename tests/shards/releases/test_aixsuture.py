"""AIxSuture: several raters a video, whose mean is the score; students as groups."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.assessment.aixsuture import level
from tests.helpers.releases import lay, small, whole
from tests.helpers.workbooks import Cell, workbook

HEADER = ("STUDENT", "GROUP", "TIME", "INVESTIGATOR", "VIDEO", "SUTURES", "GLOBA_RATING_SCORE")


def row(student: str, video: str, score: Cell) -> tuple[Cell, ...]:
    return (student, "E-LEARNING", "PRE", "A", video, 2, score)


ROWS = (HEADER, row("S1", "A31H", 15), row("S1", "A31H", 16))
FILES = {"OSATS.xlsx": workbook(*ROWS)}


def test_the_score_is_the_mean_of_the_raters(tmp_path: Path) -> None:
    rows = [row("S1", "A31H", 15), row("S1", "A31H", 16), row("S1", "A31H", 16.0)]
    rows += [row("S1", "H13A", 24), row("S2", "B01C", 8)]
    lay(tmp_path, {"OSATS.xlsx": workbook(HEADER, *rows)})
    release = small("aixsuture")

    assert whole(release, tmp_path, "score") == {
        "A31H": ("15.6667", "S1"),
        "H13A": ("24", "S1"),
        "B01C": ("8", "S2"),
    }
    assert whole(release, tmp_path, "level") == {
        "A31H": ("novice", "S1"),
        "H13A": ("expert", "S1"),
        "B01C": ("novice", "S2"),
    }


@given(st.floats(8, 40))
def test_levels_are_those_of_the_authors(score: float) -> None:
    # They cut a mean to a whole number, and look into which of three ranges it falls.
    ranges = {"novice": range(8, 16), "intermediate": range(16, 24), "expert": range(24, 41)}
    assert int(score) in ranges[level(score)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("S1", "A", 41)], r"OSATS\.xlsx: line 2: GLOBA_RATING_SCORE: expected 8 to 40, got"),
        ([row("S1", "A", None)], r"line 2: GLOBA_RATING_SCORE: expected a whole number, got ''"),
        ([row("S1", "A", 9), row("S2", "A", 9)], r"line 3: STUDENT: expected S1, as above of A, g"),
    ],
)
def test_what_does_not_fit_is_told(
    tmp_path: Path, rows: list[tuple[Cell, ...]], message: str
) -> None:
    lay(tmp_path, {"OSATS.xlsx": workbook(HEADER, *rows)})
    with pytest.raises(ReleaseError, match=message):
        whole(small("aixsuture"), tmp_path, "score")
