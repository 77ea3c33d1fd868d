from pathlib import Path

import pytest

from surgstream.shards.errors import ReleaseError
from tests.helpers.releases import lay, seconds, small

FILES = {
    "labels/label_01.txt": "Frame\tPhase\n1\t2\n2\t2\n3\t7\n",
    "labels/label_21.txt": "Frame\tPhase\n1\t1\n",
}


def test_frames_and_phases_are_counted_from_one(tmp_path: Path) -> None:
    ligament = "dividing_ligament_and_peritoneum"
    assert seconds(small("autolaparo"), lay(tmp_path, FILES), "phase") == {
        "01": [(0, ligament), (1, ligament), (2, "washing")],
        "21": [(0, "preparation")],
    }


@pytest.mark.parametrize("phase", ["0", "8", "-1"])
def test_other_numbers_are_refused(phase: str, tmp_path: Path) -> None:
    lay(tmp_path, {"labels/label_01.txt": f"Frame\tPhase\n1\t{phase}\n"})
    with pytest.raises(ReleaseError, match=f"line 2: Phase: expected one of 1, .*, got '{phase}'"):
        list(small("autolaparo").read(tmp_path))
