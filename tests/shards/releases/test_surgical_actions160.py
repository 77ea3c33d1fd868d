"""SurgicalActions160: a folder an action, clips with its number."""

from pathlib import Path

import pytest

from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.actions.surgical_actions160 import ACTIONS
from surgstream.shards.releases.conversion import convert
from surgstream.shards.releases.registry import find_release
from tests.helpers.releases import lay, small, whole

FILES = {"01_abdominal_access/01_02.mp4": b"not looked at"}


def test_the_folder_s_number_is_the_action(tmp_path: Path) -> None:
    names = ("01_abdominal_access/01_02", "14_sling-in/14_10", "16_Endobag-Out/16_01")
    lay(tmp_path, {f"{name}.mp4": b"" for name in names} | {"README.txt": ""})

    assert whole(small("surgical_actions160"), tmp_path, "action") == {
        "01_02": ("abdominal_access", ""),
        "14_10": ("sling_in", ""),
        "16_01": ("endobag_out", ""),
    }


@pytest.mark.parametrize("name", ["02_injection/01_02", "17_more/17_01", "03_cutting/cut"])
def test_a_clip_in_another_folder_is_told(tmp_path: Path, name: str) -> None:
    lay(tmp_path, {f"{name}.mp4": b""})
    with pytest.raises(ReleaseError, match=f"{name}.mp4: expected a clip such as 01_10.mp4 in a"):
        whole(small("surgical_actions160"), tmp_path, "action")


def test_all_160_clips_are_as_published_and_159_are_not(tmp_path: Path) -> None:
    clips = [
        f"{number:02d}_x/{number:02d}_{clip:02d}.mp4"
        for number in range(1, len(ACTIONS) + 1)
        for clip in range(1, 11)
    ]
    root = lay(tmp_path / "raw", dict.fromkeys(clips, b""))
    release = find_release("surgical_actions160")

    converted = convert(release, root, tmp_path / "labels")
    assert converted.notes == ()
    rows = (tmp_path / "labels/surgical_actions160/action.csv").read_text().splitlines()
    assert rows[:2] == ["video,action", "01_01,abdominal_access"]
    assert len(rows) == 161

    (root / clips[0]).unlink()
    with pytest.raises(ReleaseError, match="all clips: expected 160 videos, got 159"):
        convert(release, root, tmp_path / "others")
