"""SAR-RARP50: rows of every sixth of 60 frames a second, without a header; folders are videos."""

from pathlib import Path

import pytest

from surgstream.shards.errors import ReleaseError
from tests.helpers.releases import lay, seconds, small


def table(*actions: int) -> str:
    """A second of each action."""
    rows = [action for action in actions for _ in range(10)]
    return "".join(f"{6 * index},{action}\n" for index, action in enumerate(rows))


FILES = {"test/video_41/action_discrete.txt": "0,1\n6,1\n60,2\n"}


@pytest.mark.parametrize("folder", ["", "train1/", "test/"])
def test_the_first_of_ten_rows_counts(tmp_path: Path, folder: str) -> None:
    lay(
        tmp_path,
        {
            f"{folder}video_11_1/action_discrete.txt": table(0, 3, 7),
            f"{folder}video_11_2/action_discrete.txt": "000000000,5\n000000006,0\n",
        },
    )

    assert seconds(small("sarrarp50"), tmp_path, "action") == {
        "video_11_1": [
            (0, "other"),
            (1, "pushing_the_needle_through_the_tissue"),
            (2, "returning_dropping_the_needle"),
        ],
        "video_11_2": [(0, "tying_a_knot")],
    }


def test_an_unknown_action_is_told(tmp_path: Path) -> None:
    lay(tmp_path, {"test/video_41/action_discrete.txt": table(1, 8)})
    with pytest.raises(ReleaseError, match=r"action_discrete\.txt: line 11: action: .* got '8'"):
        seconds(small("sarrarp50"), tmp_path, "action")


def test_a_folder_without_videos_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        ReleaseError, match="expected files such as train1/video_NN/action_discrete"
    ):
        seconds(small("sarrarp50"), tmp_path, "action")
