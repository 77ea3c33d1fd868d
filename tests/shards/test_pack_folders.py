"""`surgstream pack` on folders of images that others have already taken out of videos."""

from pathlib import Path

from PIL import Image

from shards.pack import main
from shards.storage import open_storage
from tests.helpers.packing import contents, load, write_corpus
from tests.helpers.s3 import s3_bucket
from tests.helpers.videos import picture_of


def test_folders_of_images_are_packed_like_videos(tmp_path: Path) -> None:
    for video, count in (("video01", 5), ("video02.b", 3)):
        (tmp_path / "frames" / video).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(picture_of(number + 1)).save(tmp_path / "frames" / video / f"{number + 1:05d}.png")
    (tmp_path / "frames" / "list.txt").write_text("not a video")
    corpus = write_corpus(tmp_path, {"name": "d", "videos": "frames/*", "image_fps": 1.0}, short_side=32)
    assert main([corpus, str(tmp_path / "out")]) == 0
    videos = load(tmp_path / "out").shards[0].videos
    assert [(video.source, video.num_frames) for video in videos] == [("video01", 5), ("video02.b", 3)]
    before = contents(tmp_path / "out")
    assert main([corpus, str(tmp_path / "out")]) == 0 and contents(tmp_path / "out") == before
    Image.fromarray(picture_of(9)).save(tmp_path / "frames" / "video01" / "00006.png")
    assert main([corpus, str(tmp_path / "out")]) == 0
    assert [video.num_frames for video in load(tmp_path / "out").shards[0].videos] == [6, 3]


def test_folders_of_images_on_s3(tmp_path: Path) -> None:
    Image.fromarray(picture_of(1)).save(tmp_path / "00001.png")
    with s3_bucket("images") as bucket:
        for name in ("a/v1/00001.png", "a/v2/00001.png", "a/note.txt", "a/v2/deep/x/1.png"):
            open_storage(bucket).write(name, (tmp_path / "00001.png").read_bytes())
        dataset = {"name": "d", "videos": f"{bucket}/a/*", "image_fps": 1.0, "hold_out": ["v1"]}
        assert main([write_corpus(tmp_path, dataset), str(tmp_path / "out")]) == 0
    assert [video.id for video in load(tmp_path / "out").shards[0].videos] == ["v2"]
