"""Files that are called as videos and are none say what they are, and what to do."""

import io
from pathlib import Path

import pytest

from surgstream.shards.errors import VideoError
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.container.files import open_video
from surgstream.shards.video.container.foreign import foreign
from tests.helpers.videos import make_video


def refused(path: Path) -> str:
    with pytest.raises(VideoError) as caught, open_video(str(path), Stores()):
        pass
    return str(caught.value)


def in_dicom(video: bytes) -> bytes:
    """A video as endoscopy towers export it: after the preamble and some elements, a fragment of pixel data."""
    return bytes(128) + b"DICM" + b"\x02\x00\x10\x00UI\x1a\x001.2.840.10008.1.2.4.102\x00" + video


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "is not a video: it is empty"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "it is a web page"),
        (
            b"\xef\xbb\xbf\n<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
            "an answer of a store",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n",
            "run `git lfs pull`",
        ),
        (b"/annex/objects/SHA256E-s7--00.mp4\n", "run `git annex get`"),
        (b"PK\x03\x04" + bytes(100), "a ZIP archive; unpack it"),
        (
            b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X" + bytes(100),
            "the metadata that macOS keeps for a file",
        ),
        (bytes(10**5), "it begins with zeros"),
    ],
)
def test_what_a_file_is(tmp_path: Path, data: bytes, expected: str) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    assert expected in refused(path)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_dicom_is_named_whatever_video_is_in_it(tmp_path: Path, codec: str) -> None:
    video = make_video(tmp_path / "a.mp4", 25, codec=codec)
    video.write_bytes(in_dicom(video.read_bytes()))
    assert refused(video).startswith("is not a video: it is DICOM; take the video out of it")


def test_a_recording_that_was_not_finished(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "whole.mp4", 25).read_bytes()
    begun = tmp_path / "begun.mp4"
    begun.write_bytes(whole[: whole.index(b"moov") - 4])
    assert "the list of its pictures (moov) is missing" in refused(begun)
    begun.write_bytes(whole[: whole.index(b"moov") + 40])
    assert "moov" not in refused(begun), "there it is, though damaged"


def test_a_video_is_left_where_it_was(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.mkv", "a.avi", "a.ts", "a.mpg"):
        codec = "mpeg2video" if name == "a.mpg" else "libx264"
        file = io.BytesIO(make_video(tmp_path / name, 5, codec=codec).read_bytes())
        assert foreign(file) == "" and file.tell() == 0
