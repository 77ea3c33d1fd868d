"""Whatever the files of a release hold, their labels are written, or one sentence names the file."""

import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.conversion import convert
from tests.fuzz.damage import TEXTS, cases, damaged
from tests.helpers.releases import Files, lay, small
from tests.helpers.workbooks import Cell, workbook

GROUND_TRUTH = "ground_truth/CATARACTS_2020"
CRITERIA = ["two_structures", "cystic_plate", "hepatocystic_triangle"]
TIMES = ["initial_minute", "initial_second", "final_minute", "final_second"]

RELEASES: dict[str, dict[str, str]] = {
    "pmlr50": {"phase_annotations/01.txt": "Frame\tPhase\n0\t0\n1\t4\n"},
    "cataracts": {
        f"{GROUND_TRUTH}/train_gt/train01.csv": "Frame,Steps\n1,0\n2,18\n",
        f"{GROUND_TRUTH}/dev_gt/test01.csv": "Frame,Steps\n1,0\n",
        f"{GROUND_TRUTH}/test_gt/test02.csv": "Frame,Steps\n1,0\n",
    },
    "cataract101": {
        "videos.csv": "VideoID;Frames;FPS;Surgeon;Experience\n269;200;25;3;2\n",
        "annotations.csv": "VideoID;FrameNo;Phase\n269;0;1\n269;101;10\n",
    },
    "cataract21": {"case_01.csv": "Frame,Phase\n0,Rhexis\n25,Phako\n"},
    "sarrarp50": {"test/video_41/action_discrete.txt": "0,1\n6,1\n60,2\n"},
    "polypdiag": {"splits/train.txt": "a.mp4,1\nb.mp4,0\n", "splits/val.txt": "c.mp4,0\n"},
    "jigsaws": {
        "Suturing/meta_file_Suturing.txt": "Suturing_B001\t\tN\t13\t\t2\t3\t1\t2\t2\t3\n",
        "Suturing/transcriptions/Suturing_B001.txt": "1 90 G1 \n91 130 G15 \n",
    },
}
"""Text files by release."""

SHEETS: dict[str, tuple[str, list[list[Cell]]]] = {
    "aixsuture": ("OSATS.xlsx", [["VIDEO", "STUDENT", "GLOBA_RATING_SCORE"], ["A31H", "S1", 20]]),
    "cholec80_cvs": (
        "surgeons_annotations.xlsx",
        [["video", *TIMES, *CRITERIA], [33, 4, 0, 5, 0, 1, 0, 2], [33, 1, 0, 2, 0, 0, 0, 0]],
    ),
}
"""File and rows of a workbook by release."""

texts = st.sampled_from([text for text in TEXTS if "\ud800" not in text]) | st.sampled_from(
    ["-1", "9" * 15, "0.5", "1e9", '"', ";", ",", "\t", "\r", "\ufeff", "2" * 400]
)


def attempt(name: str, root: Path) -> None:
    """Convert a release, which may fail with one sentence alone."""
    out = root.parent / "labels"
    try:
        convert(small(name), root, out)
    except ReleaseError as error:
        assert str(root) in str(error)
        assert not list(out.iterdir()), "something is left of what failed"
    else:
        shutil.rmtree(out)


@pytest.mark.parametrize("name", [*RELEASES, *SHEETS])
def test_what_is_whole_is_written(name: str, tmp_path: Path) -> None:
    file, rows = SHEETS.get(name, ("", []))
    files: Files = RELEASES.get(name) or {file: workbook(*rows)}
    convert(small(name), lay(tmp_path / "raw", files), tmp_path / "labels")


@pytest.mark.parametrize("name", RELEASES)
@cases(30)
@given(data=st.data())
def test_a_damaged_cell_is_told(name: str, tmp_path: Path, data: st.DataObject) -> None:
    files = RELEASES[name]
    file = data.draw(st.sampled_from(sorted(files)))
    text = files[file]
    cell = data.draw(st.sampled_from(list(re.finditer(r"[^,;\s]+", text))))
    text = text[: cell.start()] + data.draw(texts) + text[cell.end() :]

    attempt(name, lay(tmp_path / "raw", {**files, file: text}))


@pytest.mark.parametrize("name", RELEASES)
@cases(20)
@given(data=st.data())
def test_damaged_bytes_are_told(name: str, tmp_path: Path, data: st.DataObject) -> None:
    files = RELEASES[name]
    file = data.draw(st.sampled_from(sorted(files)))
    content = data.draw(damaged(files[file].encode()))

    attempt(name, lay(tmp_path / "raw", {**files, file: content}))


@pytest.mark.parametrize("name", SHEETS)
@cases(30)
@given(data=st.data())
def test_a_damaged_cell_of_a_workbook_is_told(
    name: str, tmp_path: Path, data: st.DataObject
) -> None:
    file, rows = SHEETS[name]
    rows = [list(row) for row in rows]
    row = data.draw(st.sampled_from(rows))
    numbers = st.sampled_from([-1, 0, 0.5, 10**14, 1e300, True])
    words = st.sampled_from(["", "x", "9" * 15, "-", "=1/0", "é" * 90])
    row[data.draw(st.integers(0, len(row) - 1))] = data.draw(numbers | words)

    attempt(name, lay(tmp_path / "raw", {file: workbook(*rows)}))
