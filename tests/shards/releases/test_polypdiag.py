"""PolypDiag: two lists of files and classes, with a comma or a blank between."""

from pathlib import Path

import pytest

from surgstream.shards.errors import ReleaseError
from tests.helpers.releases import lay, small, whole

FILES = {"splits/train.txt": "a.mp4,1\nb.mp4,0\n", "splits/val.txt": "c.mp4,0\n"}


@pytest.mark.parametrize("separator", [",", " "])
def test_both_lists_are_read(tmp_path: Path, separator: str) -> None:
    lay(
        tmp_path,
        {
            "splits/train.txt": f"a-1.mp4{separator}1\nvideos/b.avi{separator}0\n",
            "splits/val.txt": f"c.mp4{separator}0\n",
        },
    )
    release = small("polypdiag")

    assert whole(release, tmp_path, "diagnosis") == {
        "a-1": ("abnormal", ""),
        "b": ("normal", ""),
        "c": ("normal", ""),
    }
    assert whole(release, tmp_path, "split") == {
        "a-1": ("train", ""),
        "b": ("train", ""),
        "c": ("test", ""),
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a.mp4,2\n", r"train\.txt: line 1: diagnosis: expected one of 0, 1, got '2'"),
        ("a.mp4,1\nb.mp4\n", r"train\.txt: line 2: expected 2 columns, got 1"),
    ],
)
def test_what_is_damaged_is_told(tmp_path: Path, content: str, message: str) -> None:
    lay(tmp_path, {"splits/train.txt": content, "splits/val.txt": ""})
    with pytest.raises(ReleaseError, match=message):
        whole(small("polypdiag"), tmp_path, "diagnosis")
