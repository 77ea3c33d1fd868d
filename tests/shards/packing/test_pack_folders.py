"""`surgstream pack` on folders of images that others have already taken out of videos."""

import errno
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from surgstream.shards.storage.stores import open_storage
from tests.helpers.commands import pack as main
from tests.helpers.packing import contents, load, write_corpus
from tests.helpers.s3 import s3_bucket
from tests.helpers.videos import picture_of


@pytest.mark.slow
def test_folders_of_images_are_packed_like_videos(tmp_path: Path) -> None:
    for video, count in (("video01", 5), ("video02.b", 3)):
        (tmp_path / "frames" / video).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(picture_of(number + 1)).save(
                tmp_path / "frames" / video / f"{number + 1:05d}.png"
            )
    (tmp_path / "frames" / "list.txt").write_text("not a video")
    corpus = write_corpus(
        tmp_path, {"name": "d", "videos": "frames/*", "image_fps": 1.0}, short_side=32
    )
    assert main([corpus, str(tmp_path / "out")]) == 0
    videos = load(tmp_path / "out").shards[0].videos
    assert [(video.source, video.num_frames) for video in videos] == [
        ("video01", 5),
        ("video02.b", 3),
    ]
    before = contents(tmp_path / "out")
    assert main([corpus, str(tmp_path / "out")]) == 0 and contents(tmp_path / "out") == before
    Image.fromarray(picture_of(9)).save(tmp_path / "frames" / "video01" / "00006.png")
    assert main([corpus, str(tmp_path / "out")]) == 0
    assert [video.num_frames for video in load(tmp_path / "out").shards[0].videos] == [6, 3]


@pytest.mark.slow
def test_folders_of_images_on_s3(tmp_path: Path) -> None:
    Image.fromarray(picture_of(1)).save(tmp_path / "00001.png")
    with s3_bucket("images") as bucket:
        for name in ("a/v1/00001.png", "a/v2/00001.png", "a/note.txt", "a/v2/deep/x/1.png"):
            open_storage(bucket).write(name, (tmp_path / "00001.png").read_bytes())
        dataset = {"name": "d", "videos": f"{bucket}/a/*", "image_fps": 1.0, "hold_out": ["v1"]}
        assert main([write_corpus(tmp_path, dataset), str(tmp_path / "out")]) == 0
    assert [video.id for video in load(tmp_path / "out").shards[0].videos] == ["v2"]


def test_a_folder_of_images_that_cannot_be_listed_is_quarantined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for video in ("v1", "v2"):
        (tmp_path / "frames" / video).mkdir(parents=True)
        Image.fromarray(picture_of(1)).save(tmp_path / "frames" / video / "00001.png")
    scandir = os.scandir

    def denying(path: str) -> object:
        if str(path).rstrip("/").endswith("/v1"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denying)
    corpus = write_corpus(
        tmp_path, {"name": "d", "videos": "frames/*", "image_fps": 1.0}, workers=1
    )
    assert main([corpus, str(tmp_path / "out")]) == 0
    (line,) = (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines()
    told = json.loads(line)
    assert (told["video"], told["reason"]) == ("v1", "cannot be read: Permission denied")
    assert [video.id for video in load(tmp_path / "out").shards[0].videos] == ["v2"]
