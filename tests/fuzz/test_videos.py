"""Whatever is wrong with a video, what of it can be decoded is packed, or there is a reason why nothing is."""

import contextlib
import faulthandler
import json
import os
import random
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from surgstream.shards.errors import VideoError
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.frames import JpegFrames
from surgstream.shards.video.sources import VideoFile
from tests.fuzz.damage import SCALE
from tests.helpers.commands import pack
from tests.helpers.packing import write_corpus
from tests.helpers.videos import make_video, number_in
from tests.helpers.zoo import KINDS, ffmpeg, make

NAMES = (
    "h264.mp4", "h264.mkv", "h264.ts", "h264_fragments.mp4", "h264_no_timestamps.h264", "hevc_10bit.mkv", "mpeg2.mpg",
    "mpeg4_b_frames.avi", "wmv2.wmv", "vp9.webm", "av1.mp4", "mjpeg.mov", "prores.mov", "sorenson.flv", "theora.ogv",
    "fields_top_first.mpg", "dv.avi", "cropped.mp4", "h264_intra_refresh.mp4", "very_late_start.mkv", "long_sound.flv",
)  # fmt: skip
FILES_OF_EACH = 18 * SCALE
SECONDS = 100
"""After which a file is taken to hang: it ends the test run with the stacks of all threads."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def file_of(name: str, folder: Path) -> Path:
    path = folder / name
    if not path.exists():
        make(
            next(kind for kind in KINDS if kind.name == name),
            folder,
            lambda of: file_of(of, folder),
        )
    return path


def damage(data: bytearray, number: int) -> None:
    """Flip bits, zero, insert or cut, more often near the beginning than elsewhere; the same for the same number."""
    chance = random.Random(number)
    kind = chance.choice(["flip", "cut", "zero", "insert"])
    for _ in range(chance.choice([1, 3, 20])):
        at = chance.randrange(len(data) if chance.random() < 0.6 else min(2000, len(data)))
        if kind == "flip":
            data[at] ^= 1 << chance.randrange(8)
        elif kind == "zero":
            stop = min(len(data), at + chance.choice([4, 100, 5000]))
            data[at:stop] = bytes(stop - at)
        elif kind == "insert":
            data[at:at] = chance.randbytes(chance.choice([1, 7, 300]))
        else:
            del data[max(at, 1) :]


@pytest.mark.parametrize("name", NAMES)
def test_damaged_videos(name: str, folder: Path, tmp_path: Path) -> None:
    whole = file_of(name, folder).read_bytes()
    outcomes = {"packed": 0, "refused": 0}
    for number in range(FILES_OF_EACH):
        data = bytearray(whole)
        damage(data, number)
        path = tmp_path / f"{number}{Path(name).suffix}"
        path.write_bytes(data)
        found = []
        for threads in (1, 3):
            film = VideoFile(str(path), Stores(), threads=threads)
            try:
                frames = dict(JpegFrames(film, fps=Fraction(2), short_side=48, quality=80))
            except VideoError as error:
                found.append(str(error))
                assert len(str(error)) > 10
            else:
                assert (
                    frames
                    and list(frames) == sorted(frames)
                    and all(map(number_in, frames.values())) is not None
                )
                found.append((list(frames), film.lost))
        assert found[0] == found[1], f"damage {number}: it depends on the number of threads"
        outcomes["refused" if isinstance(found[0], str) else "packed"] += 1
    assert outcomes["packed"] > 0, outcomes


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mpg", ".wmv", ".txt", ""])
@pytest.mark.parametrize("name", ["h264.mp4", "vp9.webm", "mpeg2.mpg"])
def test_a_wrong_suffix_does_not_matter(
    name: str, suffix: str, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / f"v{suffix}"
    path.write_bytes(file_of(name, folder).read_bytes())
    right, wrong = (
        dict(JpegFrames(VideoFile(str(some), Stores()), fps=Fraction(2), short_side=48, quality=80))
        for some in (folder / name, path)
    )
    assert right == wrong


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_each_that_is_no_video_has_its_reason(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = file_of("h264.mp4", folder).read_bytes()
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        here.chmod(0o755)
        (here / "folder.mp4").mkdir()
        os.mkfifo(here / "pipe.mp4")
        (here / "loop.mp4").symlink_to(here / "loop.mp4")
        (here / "gone.mp4").symlink_to(here / "nothing")
        (here / "empty.mp4").touch()
        (here / "good.mp4").write_bytes(video)
        (here / "text.mp4").write_text("not a video\n" * 99)
        corpus = write_corpus(
            here, {"name": "d", "videos": ["*.mp4", f"{'long' * 200}.mp4"]}, short_side=32
        )
        assert pack([corpus, str(here / "out")]) == 0
        lines = [
            json.loads(line)
            for line in (here / "out" / "quarantine.jsonl").read_text().splitlines()
        ]
        (here / "forbidden.mp4").write_bytes(video)
        (here / "forbidden.mp4").chmod(0)
        with (
            as_nobody(),
            pytest.raises(VideoError, match="cannot be opened as a video: Permission denied"),
        ):
            VideoFile(str(here / "forbidden.mp4"), Stores()).header()
    assert {line["video"][:6]: line["reason"] for line in lines} == {
        "empty": "is not a video: it is empty",
        "folder": "is not a regular file",
        "gone": "is missing",
        "longlo": "cannot be read: File name too long",
        "loop": "cannot be read: Too many levels of symbolic links",
        "pipe": "is not a regular file",
        "text": "cannot be opened as a video: Invalid data found when processing input",
    }


@pytest.mark.parametrize(("size", "taken"), [((9000, 8000), False), ((8000, 4000), True)])
def test_a_picture_that_would_fill_the_memory_is_refused(
    tmp_path: Path, size: tuple[int, int], *, taken: bool
) -> None:
    path = tmp_path / "bomb.mkv"
    black = f"-f lavfi -i color=black:s={size[0]}x{size[1]}:r=1:d=2"
    ffmpeg(*f"{black} -c:v libx264 -preset ultrafast -threads 1 {path}".split())
    assert path.stat().st_size < 10**6
    frames = JpegFrames(VideoFile(str(path), Stores()), fps=Fraction(1), short_side=48, quality=80)
    if taken:
        assert len(dict(frames)) == 2
    else:
        with pytest.raises(
            VideoError, match="its pictures have 9000x8000 pixels, and 67108864 are the most"
        ):
            dict(frames)


def test_a_picture_that_grows_is_lost(tmp_path: Path) -> None:
    """The header tells a small size, and far behind it a picture has a large one."""
    small, large, path = (tmp_path / f"{name}.h264" for name in ("small", "large", "v"))
    encoding = "-c:v libx264 -preset ultrafast -threads 1"
    ffmpeg(
        *f"-f lavfi -i nullsrc=s=320x240:r=25:d=4,noise=alls=100:allf=t -qp 1 {encoding} {small}".split()
    )
    ffmpeg(*f"-f lavfi -i color=black:s=16384x8192:r=25:d=0.08 {encoding} {large}".split())
    path.write_bytes(small.read_bytes() + large.read_bytes())
    assert small.stat().st_size > 5_000_000, "more than FFmpeg looks at before it begins"
    film = VideoFile(str(path), Stores())
    assert list(dict(JpegFrames(film, fps=Fraction(1), short_side=48, quality=80))) == [0, 1, 2, 3]
    assert [span.stop for span in film.lost] == [None]


def test_timestamps_that_cannot_be_are_no_endless_video(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "v.mkv", [599 * n for n in range(620)], time_base=Fraction(1), gop=1
    )
    with pytest.raises(VideoError, match="seems to last more than 100 hours"):
        dict(
            JpegFrames(
                VideoFile(str(path), Stores()), fps=Fraction(1, 100), short_side=48, quality=80
            )
        )
