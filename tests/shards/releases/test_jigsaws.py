"""JIGSAWS: tables with double tabs, surgeons as groups, two cameras a trial, gestures by frames from 1."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.assessment.jigsaws import seconds as gesture_seconds
from surgstream.shards.releases.tables import Line
from tests.helpers.releases import lay, seconds, small, whole

SCORES = (
    "Suturing_B001\t\tN\t13\t\t2\t3\t1\t2\t2\t3\nSuturing_E003\t\tE\t30\t\t5\t5\t5\t5\t5\t5\n\n"
)
GESTURES = "1 90 G1 \n91 91 G5 \n95 130 G15 \n"
FILE = "Suturing/meta_file_Suturing.txt"
TRANSCRIPTION = "Suturing/transcriptions/Suturing_B001.txt"
FILES = {FILE: SCORES, TRANSCRIPTION: GESTURES}


def test_scores_have_the_surgeon_as_group(tmp_path: Path) -> None:
    lay(tmp_path, {FILE: SCORES})
    assert whole(small("jigsaws"), tmp_path, "score") == {
        "Suturing_B001_capture1": ("13", "B"),
        "Suturing_B001_capture2": ("13", "B"),
        "Suturing_E003_capture1": ("30", "E"),
        "Suturing_E003_capture2": ("30", "E"),
    }


def test_gestures_hold_at_the_frames_that_begin_a_second(tmp_path: Path) -> None:
    lay(tmp_path, FILES)
    rows = [(0, "g1"), (1, "g1"), (2, "g1"), (3, "g5"), (4, "g15")]
    assert seconds(small("jigsaws"), tmp_path, "gesture") == {
        "Suturing_B001_capture1": rows,
        "Suturing_B001_capture2": rows,
    }


@given(
    st.lists(
        st.tuples(st.integers(1, 200), st.integers(0, 90), st.sampled_from(["G1", "G2", "G15"])),
        max_size=6,
    )
)
def test_seconds_are_those_of_a_table_of_all_frames(gestures: list[tuple[int, int, str]]) -> None:
    frames: dict[int, str] = {}
    lines = []
    for number, (start, more, gesture) in enumerate(gestures):
        frames |= dict.fromkeys(range(start, start + more + 1), gesture.lower())
        cells = {"start": str(start), "end": str(start + more), "gesture": gesture}
        lines.append(Line(Path("x.txt"), number + 1, cells))

    expected = [
        (second, frames[30 * second + 1]) for second in range(20) if 30 * second + 1 in frames
    ]
    assert gesture_seconds(lines) == tuple(expected)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({FILE: SCORES.replace("\t30", "\t31")}, r"line 2: score: expected 6 to 30, got '31'"),
        ({FILE: SCORES.replace("Suturing_B", "Knot_Tying_B")}, "line 1: trial: expected a trial"),
        ({FILE: "Suturing_B001 N 13 2 3\n"}, "line 1: expected 9 columns, got 5"),
        ({TRANSCRIPTION: "9 8 G1\n"}, r"line 1: end: .* got '8'"),
        ({TRANSCRIPTION: "-1 8 G1\n"}, r"line 1: end: .* got '8'"),
        ({TRANSCRIPTION: "1 8 G16\n"}, r"gesture: .* got 'G16'"),
    ],
)
def test_what_is_damaged_is_told(tmp_path: Path, files: dict[str, str], message: str) -> None:
    lay(tmp_path, {FILE: SCORES} | files)
    with pytest.raises(ReleaseError, match=message):
        whole(small("jigsaws"), tmp_path, "score")


def test_a_folder_without_tasks_is_told(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"expected files such as Knot_Tying/meta_file_Knot_T"):
        whole(small("jigsaws"), tmp_path, "score")
