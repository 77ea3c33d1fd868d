from pathlib import Path

import pytest

from surgstream.shards.errors import ReleaseError
from tests.helpers.releases import lay, seconds, small

LINES = "".join(f"{frame}\tTrocarPlacement\n" for frame in range(26))

FILES = {
    "train_dataset/workflow_video_01.txt": "Frame\tPhase\n" + LINES,
    "train_dataset/workflow_video_01_timestamp.txt": "Frame\tTime\n0\t00:00:00.00\n",
    "test_dataset/test_workflow_video_01.txt": "Frame\tPhase\n0\tGallbladderRetraction\n",
    "test_dataset/test_workflow_video_01_pred.txt": "Frame\tPhase\n0\tPreparation\n",
}


def test_both_parts_are_read_without_headings_and_what_else_lies_there(tmp_path: Path) -> None:
    assert seconds(small("m2cai16"), lay(tmp_path, FILES), "phase") == {
        "workflow_video_01": [(0, "trocar_placement"), (1, "trocar_placement")],
        "test_workflow_video_01": [(0, "gallbladder_retraction")],
    }


def test_half_of_the_release_is_not_enough(tmp_path: Path) -> None:
    lay(tmp_path, {name: text for name, text in FILES.items() if name.startswith("train")})
    with pytest.raises(
        ReleaseError, match=r"test_dataset: expected files such as test_workflow_vid"
    ):
        list(small("m2cai16").read(tmp_path))
