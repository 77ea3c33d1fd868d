"""What can be opened as a video, and what its header says."""

import threading
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from surgstream.shards.errors import StorageError, VideoError
from surgstream.shards.screening.borders import find_border
from surgstream.shards.storage.stores import LocalStorage, Stores, open_storage
from surgstream.shards.video.container import feed
from surgstream.shards.video.container.files import open_video
from surgstream.shards.video.frames import JpegFrames
from surgstream.shards.video.sources import VideoFile
from tests.helpers.s3 import s3_bucket
from tests.helpers.scenes import in_disc, make_film, scene
from tests.helpers.videos import make_video


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts", "avi"])
def test_the_header(tmp_path: Path, container: str) -> None:
    path = make_video(tmp_path / f"v.{container}", 50, size=(64, 48))
    with open_video(str(path), Stores()) as video:
        assert (video.header.width, video.header.height, video.header.rate) == (64, 48, 25)
        assert video.header.seconds == 2


def test_the_length_is_that_of_the_pictures_not_of_the_sound(tmp_path: Path) -> None:
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        pictures, sound = (
            container.add_stream("libx264", rate=25),
            container.add_stream("flac", rate=8000),
        )
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        for _ in range(25):
            container.mux(
                pictures.encode(
                    av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
                )
            )
        container.mux(pictures.encode(None))
        for number in range(10):
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 8000), np.int16), format="s16", layout="mono"
            )
            frame.sample_rate, frame.pts = 8000, 8000 * number
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    with open_video(str(path), Stores()) as video:
        assert video.header.seconds == 1


def test_metadata_need_not_be_utf8(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mkv", 5)
    with av.open(str(path)) as container:
        assert container.metadata["ENCODER"].startswith("Lavf")
    path.write_bytes(path.read_bytes().replace(b"Lavf", b"Lav\xe9"))
    with open_video(str(path), Stores()) as video:
        assert video.header.seconds == Fraction(1, 5)


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\ngood.ts\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("list.mp4", "ffconcat version 1.0\nfile good.ts\n", "concat"),
        ("list.m3u8", PLAYLIST, "hls"),
    ],
)
def test_a_list_of_other_files_is_refused(tmp_path: Path, name: str, text: str, kind: str) -> None:
    make_video(tmp_path / "good.ts", 50)
    (tmp_path / name).write_text(text)
    reason = (
        f"is not a video: FFmpeg reads it as '{kind}', a list of other files; name those instead"
    )
    with pytest.raises(VideoError, match=reason), open_video(str(tmp_path / name), Stores()):
        pass


def sound_only(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000))


@pytest.mark.parametrize(
    ("name", "write", "reason"),
    [
        (
            "a.mp4",
            lambda path: path.write_bytes(b"no video " * 500),
            "cannot be opened as a video: Invalid data",
        ),
        ("a.mp4", lambda path: path.write_bytes(b""), "is not a video: it is empty"),
        ("a.mp4", lambda path: None, "cannot be opened as a video: No such file"),
        (
            "a.txt",
            lambda path: path.write_bytes(b"hello world\n" * 50),
            "is not a video: FFmpeg reads it as 'tty'",
        ),
        (
            "a.png",
            lambda path: Image.new("RGB", (64, 48)).save(path),
            "is not a video: FFmpeg reads it as 'png_pipe'",
        ),
        ("a.wav", sound_only, "has no video stream"),
    ],
)
def test_what_is_not_a_video_is_refused(
    tmp_path: Path, name: str, write: Callable[[Path], object], reason: str
) -> None:
    path = tmp_path / name
    write(path)
    with pytest.raises(VideoError, match=reason), open_video(str(path), Stores()):
        pass


@pytest.mark.slow
def test_a_video_on_s3_gives_the_same_frames(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", 60)

    def frames(location: str) -> list[tuple[int, bytes]]:
        return list(
            JpegFrames(VideoFile(location, Stores()), fps=Fraction(5), short_side=32, quality=85)
        )

    with s3_bucket("videos") as bucket:
        open_storage(bucket).write("in/v.mp4", path.read_bytes())
        assert frames(f"{bucket}/in/v.mp4") == frames(str(path))
        with pytest.raises(StorageError, match=r"in/w\.mp4 is missing"):
            frames(f"{bucket}/in/w.mp4")


class Failing(LocalStorage):
    """A store that fails after a number of reads."""

    reads_left = 1000

    def read_into(
        self, name: str, start: int, out: memoryview, stop: threading.Event | None = None
    ) -> None:
        if self.reads_left == 0:
            raise StorageError("the store is down")
        self.reads_left -= 1
        super().read_into(name, start, out, stop)


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["s3://bucket", "local"])
def test_a_store_that_fails_is_not_taken_for_a_bad_video(
    tmp_path: Path, folder: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = make_video(tmp_path / "v.mkv", 50, size=(320, 240), grain=20)
    folder = folder if "://" in folder else str(tmp_path)
    for name in ("STORED_AHEAD_BYTES", "LOCAL_AHEAD_BYTES"):
        monkeypatch.setattr(feed, name, path.stat().st_size // 10)
    storage = Failing(tmp_path, folder)

    def read() -> None:
        film = VideoFile(f"{folder}/v.mkv", Stores({folder: storage}))
        list(JpegFrames(film, fps=Fraction(5), short_side=32, quality=85))

    read()
    needed = 1000 - storage.reads_left
    for storage.reads_left in range(needed):
        with pytest.raises(StorageError, match="the store is down"):
            read()
    assert needed > 10 and capfd.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["s3://bucket", "local"])
def test_borders_are_not_judged_by_fewer_pictures_because_a_store_fails(
    tmp_path: Path, folder: str
) -> None:
    pictures = [in_disc(scene("tissue", number), (190, 85), 70) for number in range(100)]
    make_film(tmp_path / "v.mp4", pictures)
    folder = folder if "://" in folder else str(tmp_path)
    storage = Failing(tmp_path, folder)
    film = VideoFile(f"{folder}/v.mp4", Stores({folder: storage}))
    assert find_border(film) is not None
    needed = 1000 - storage.reads_left
    for storage.reads_left in range(needed):
        with pytest.raises(StorageError, match="the store is down"):
            find_border(VideoFile(f"{folder}/v.mp4", Stores({folder: storage})))


def test_a_video_that_is_still_being_written_is_packed_another_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "LOCAL_AHEAD_BYTES", 4096)
    path = make_video(tmp_path / "v.ts", 500, size=(320, 240))
    pictures = VideoFile(str(path), Stores(), spare=False).picked(Fraction(25))
    next(pictures)
    with path.open("ab") as file:
        file.write(bytes(100_000))
    with pytest.raises(VideoError, match="changes while it is read; pack again when it is whole"):
        list(pictures)
