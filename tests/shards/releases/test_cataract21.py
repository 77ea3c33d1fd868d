"""Cataract-21: German names, of which two are one class, a row a frame, with a header or without."""

from pathlib import Path

import pytest

from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.workflow.cataract21 import CLASSES
from tests.helpers.releases import lay, seconds, small


def table(*phases: str) -> str:
    """A second of each phase."""
    frames = [phase for phase in phases for _ in range(25)]
    return "".join(f"{frame},{phase}\n" for frame, phase in enumerate(frames))


FILES = {"labels/case_01.csv": "Frame,Phase\n0,Rhexis\n1,Rhexis\n25,Phako\n"}


@pytest.mark.parametrize("header", ["", "Frame,Phase\n", "\ufeffframe,label\r\n"])
@pytest.mark.parametrize("folder", ["", "labels/", "videos/"])
def test_a_second_of_each_phase_is_a_row(tmp_path: Path, header: str, folder: str) -> None:
    content = header + table("not_initialized", "Visco-Absaugung", "Tonisieren", "Antibiotikum")
    lay(tmp_path, {f"{folder}case_04_training.csv": content})

    assert seconds(small("cataract21"), tmp_path, "phase") == {
        "case_04_training": [
            (0, "not_initialized"),
            (1, "visco_absaugung"),
            (2, "tonisieren"),
            (3, "tonisieren"),
        ]
    }


def test_there_are_eleven_classes() -> None:
    assert len(CLASSES) == 11


def test_another_name_is_told_with_one_that_was_meant(tmp_path: Path) -> None:
    lay(tmp_path, {"case_01.csv": "0,Rhexis\n25,Phaco\n"})
    with pytest.raises(ReleaseError, match=r"case_01\.csv: line 2: phase: .*did you mean 'Phako'"):
        seconds(small("cataract21"), tmp_path, "phase")


def test_a_folder_without_tables_is_told(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"expected files such as labels/case_NN\.csv, got none"):
        seconds(small("cataract21"), tmp_path, "phase")
