"""What a header says of a video's length may be where it ends, or how long its sound is: nothing is lost then."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from surgstream.shards.corpus.file import PackConfig
from surgstream.shards.corpus.sources import Source
from surgstream.shards.packing.plan_records import PlannedVideo
from surgstream.shards.packing.probe import probe_source
from surgstream.shards.screening.borders import find_border
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.sources import VideoFile
from tests.helpers.frames import lost_of, numbers_of
from tests.helpers.scenes import in_disc, make_film, scene
from tests.helpers.videos import cut
from tests.helpers.zoo import ffmpeg

PICTURES = "-f lavfi -i testsrc=s=160x120:r=25:d={}"
SOUND = "-f lavfi -i sine=d=40"
X264 = "-c:v libx264 -preset veryfast -g 25 -pix_fmt yuv420p"


def write(path: Path, options: str, *, seconds: int = 12, sound: bool = False) -> Path:
    ffmpeg(
        *PICTURES.format(seconds).split(),
        *(SOUND.split() if sound else []),
        *options.split(),
        str(path),
    )
    return path


def without_tags(path: Path) -> Path:
    """Matroska as others write it, who do not tell how long each stream is."""
    path.write_bytes(path.read_bytes().replace(b"DURATION", b"DURATIOX"))
    return path


def frames_and_seconds(path: Path) -> tuple[int, Fraction | None]:
    return len(numbers_of(path, Fraction(5))), VideoFile(str(path), Stores()).header().seconds


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mkv", "webm", "mp4", "ts", "flv", "wmv"])
@pytest.mark.parametrize("hours", [0.001, 1])
def test_a_clock_that_does_not_begin_at_0_loses_nothing(
    tmp_path: Path, suffix: str, hours: float
) -> None:
    codec = {"webm": "-c:v libvpx -b:v 300k -g 25", "wmv": "-c:v wmv2"}.get(suffix, X264)
    path = write(tmp_path / f"v.{suffix}", f"{codec} -output_ts_offset {3600 * hours}")
    frames, seconds = frames_and_seconds(path)
    assert frames == 60 and seconds is not None and abs(seconds - 12) < 0.2
    assert lost_of(path) == []


def test_segments_of_a_film_have_lost_nothing(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.mkv", X264, seconds=30)
    ffmpeg(*f"-i {whole} -c copy -f segment -segment_time 10 {tmp_path}/part%d.mkv".split())
    for part in sorted(tmp_path.glob("part*")):
        assert frames_and_seconds(part)[0] == 50 and lost_of(part) == []


@pytest.mark.parametrize("change", [lambda path: path, without_tags], ids=["with tags", "without"])
def test_of_a_late_film_that_is_cut_off_the_end_is_lost(
    tmp_path: Path, change: Callable[[Path], Path]
) -> None:
    path = cut(change(write(tmp_path / "v.mkv", f"{X264} -output_ts_offset 3600")), 0.5)
    ((start, stop),) = lost_of(path)
    assert start == pytest.approx(6, abs=0.2) and stop == pytest.approx(12, abs=0.1)


SOUNDS = {
    "flv": "-c:v flv -c:a mp3",
    "wmv": "-c:v wmv2 -c:a wmav2",
    "mpg": "-c:v mpeg2video -c:a mp2",
    "mkv": f"{X264} -c:a aac",
    "mp4": f"{X264} -c:a aac",
    "ts": f"{X264} -c:a aac",
    "avi": "-c:v mpeg4 -c:a mp3",
}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SOUNDS)
def test_pictures_may_be_shorter_than_their_sound(tmp_path: Path, suffix: str) -> None:
    path = without_tags(write(tmp_path / f"v.{suffix}", SOUNDS[suffix], sound=True))
    assert len(numbers_of(path, Fraction(5))) in (60, 61) and lost_of(path) == []


@pytest.mark.parametrize("suffix", ["flv", "mkv"])
def test_a_file_with_sound_that_is_cut_off_has_lost_pictures(tmp_path: Path, suffix: str) -> None:
    path = without_tags(write(tmp_path / f"v.{suffix}", SOUNDS[suffix], sound=True))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 5])
    (*_, (start, stop)) = lost_of(path)
    assert start < 11 and stop == pytest.approx(40, abs=0.1)


def test_a_file_that_is_cut_off_before_its_other_streams_begin_has_lost_pictures(
    tmp_path: Path,
) -> None:
    (tmp_path / "late.srt").write_text("1\n00:00:11,000 --> 00:00:11,500\nlate\n")
    path = tmp_path / "v.mkv"
    ffmpeg(
        *PICTURES.format(12).split(),
        "-i",
        str(tmp_path / "late.srt"),
        *X264.split(),
        "-c:s",
        "srt",
        str(path),
    )
    assert lost_of(without_tags(path)) == []
    ((start, stop),) = lost_of(cut(path, 0.5))
    assert start == pytest.approx(6, abs=0.2) and stop == pytest.approx(12, abs=0.1)


def test_a_late_film_has_the_same_borders_and_the_same_plan(tmp_path: Path) -> None:
    early = make_film(
        tmp_path / "early.mkv", [in_disc(scene("tissue", n), (190, 85), 70) for n in range(100)]
    )
    late = tmp_path / "late.mkv"
    ffmpeg(*f"-i {early} -c copy -output_ts_offset 3600 {late}".split())
    borders = [find_border(VideoFile(str(path), Stores())) for path in (early, late)]
    assert borders[0] is not None and borders[1] is not None and borders[0].box == borders[1].box

    plans = []
    for path in (early, late):
        source = Source(
            dataset="d", id="v", location=str(path), image_fps=None, labels={}, review=()
        )
        plans.append(probe_source(source, PackConfig(), None, Stores()))
    assert all(isinstance(plan, PlannedVideo) for plan in plans)
    assert plans[0].predicted_bytes == plans[1].predicted_bytes  # type: ignore[union-attr]


def test_what_a_bit_rate_says_is_no_length(tmp_path: Path) -> None:
    path = write(tmp_path / "v.m1v", "-c:v mpeg1video")
    frames, seconds = frames_and_seconds(path)
    assert frames in (60, 61) and seconds is None and lost_of(path) == []


@pytest.mark.parametrize(
    "tag", ["00:00:1/0", "00:00:1e999999999", "00:00:1e7", "inf:00:00", "00:00:-5", "1:2:3:4", ""]
)
def test_a_length_that_is_no_time_of_a_clock_is_none(tmp_path: Path, tag: str) -> None:
    path = write(tmp_path / "v.mkv", X264, seconds=2)
    was = b"00:00:02.000000000"
    assert was in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(was, tag.encode().ljust(len(was), b"\0")))
    frames, seconds = frames_and_seconds(path)
    assert frames == 10 and seconds == 2, "which the container tells as well"
    assert lost_of(path) == []
