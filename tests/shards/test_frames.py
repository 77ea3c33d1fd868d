"""Which frames are taken, and what they look like."""

import contextlib
import dataclasses
import io
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from shards.errors import VideoError
from shards.frames import Shown, jpeg_frames, packed_size, pick
from shards.storage import Stores
from shards.videos import open_video
from tests.helpers.videos import cut, make_video, number_in, picture_of, shown_at

rates = st.fractions(Fraction(1, 3), 30, max_denominator=30)


def frames_of(path: Path, fps: Fraction = Fraction(1), short_side: int = 256) -> dict[int, bytes]:
    with open_video(str(path), Stores()) as video:
        return dict(jpeg_frames(video, fps=fps, short_side=short_side, quality=85))


def jpeg_of(grey: npt.NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "JPEG")
    return file.getvalue()


def numbers_of(path: Path, fps: Fraction = Fraction(1)) -> dict[int, int]:
    return {k: number_in(jpeg) for k, jpeg in frames_of(path, fps).items()}


@given(gaps=st.lists(st.fractions(Fraction(1, 100), 4, max_denominator=100), min_size=1, max_size=30), fps=rates)
@settings(derandomize=True, max_examples=100, deadline=None)
def test_pick_takes_what_is_on_the_screen(gaps: list[Fraction], fps: Fraction) -> None:
    times = [sum(gaps[:n], Fraction(0)) for n in range(len(gaps) + 1)]
    pictures = [Shown(start, stop, n) for n, (start, stop) in enumerate(itertools.pairwise(times))]
    assert list(pick(pictures, fps)) == list(enumerate(shown_at(times[:-1], times[-1], fps)))


def test_one_frame_a_second_of_25(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", 130)
    assert numbers_of(path) == {0: 0, 1: 25, 2: 50, 3: 75, 4: 100, 5: 125}


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts", "avi"])
def test_a_rate_that_does_not_divide_the_source(tmp_path: Path, container: str) -> None:
    path = make_video(tmp_path / f"v.{container}", 60)
    stamps = [Fraction(n, 25) for n in range(60)]
    assert list(numbers_of(path, Fraction(2)).values()) == shown_at(stamps, Fraction(60, 25), Fraction(2))


def test_a_faster_rate_repeats_what_stays_on_the_screen(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", 5, time_base=Fraction(1, 5))
    assert list(numbers_of(path, Fraction(10)).values()) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_variable_rate(tmp_path: Path, container: str) -> None:
    pts = [0, 40, 500, 999, 1000, 1001, 1400, 4700, 4730, 5000, 6020]
    path = make_video(tmp_path / f"v.{container}", pts, time_base=Fraction(1, 1000), gop=4)
    picked = numbers_of(path)
    assert [picked[k] for k in range(7)] == [0, 4, 6, 6, 6, 9, 9]
    assert [picked[k] for k in range(7)] == shown_at([Fraction(n, 1000) for n in pts], Fraction(7), Fraction(1))


@given(gaps=st.lists(st.integers(1, 1500), min_size=1, max_size=25), fps=st.sampled_from([1, 2, 5]))
@settings(derandomize=True, max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_frames_are_those_of_ffmpegs_fps_filter_rounding_up(tmp_path: Path, gaps: list[int], fps: int) -> None:
    pts = [0, *itertools.accumulate(gaps)]
    path = make_video(tmp_path / "v.mkv", pts, time_base=Fraction(1, 1000))
    with av.open(str(path)) as container:
        graph = av.filter.Graph()
        graph.link_nodes(
            graph.add_buffer(template=container.streams.video[0]),
            graph.add("fps", f"fps={fps}:round=up"),
            graph.add("format", "pix_fmts=gray"),
            graph.add("buffersink"),
        ).configure()
        expected = []
        for frame in [*container.decode(video=0), None]:
            graph.push(frame)
            with contextlib.suppress(av.BlockingIOError, av.EOFError):
                while True:
                    expected.append(number_in(jpeg_of(graph.pull().to_ndarray())))
    picked = numbers_of(path, Fraction(fps))
    until = pts[-1] * fps // 1000 + 1
    assert [picked[k] for k in range(until)] == expected[:until]


def test_time_starts_at_the_first_shown_frame(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.ts", [310 + n for n in range(60)])
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).time > 10
    assert numbers_of(path) == {0: 0, 1: 25, 2: 50}


def test_a_stream_without_timestamps_is_counted(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.h264", 60)
    assert list(numbers_of(path, Fraction(5)).values()) == list(range(0, 60, 5))


def test_sizes_keep_their_shape_and_never_grow() -> None:
    assert packed_size(1920, 1080, 256) == (455, 256)
    assert packed_size(1080, 1920, 256) == (256, 455)
    assert packed_size(200, 100, 256) == (200, 100)
    assert packed_size(720, 576, 576) == (720, 576)


def test_jpegs_are_baseline_420_of_the_wanted_size_and_look_like_the_source(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", 30, size=(130, 98))
    jpeg = frames_of(path, short_side=50)[1]
    picture = Image.open(io.BytesIO(jpeg))
    assert picture.size == (66, 50) and picture.format == "JPEG"
    assert [component[1:3] for component in picture.layer] == [(2, 2), (1, 1), (1, 1)]
    wanted = np.asarray(Image.fromarray(picture_of(25, 130, 98)).resize((66, 50), Image.Resampling.BICUBIC))
    assert np.abs(np.asarray(picture, dtype=float) - wanted).mean() < 6


@pytest.mark.parametrize("quality", [40, 85])
def test_the_quality_of_the_jpegs_is_the_wanted_one(tmp_path: Path, quality: int) -> None:
    path = make_video(tmp_path / "v.mp4", 1)
    with open_video(str(path), Stores()) as video:
        ((_, jpeg),) = jpeg_frames(video, fps=Fraction(1), short_side=48, quality=quality)
    expected = io.BytesIO()
    Image.new("RGB", (8, 8)).save(expected, "JPEG", quality=quality)
    assert Image.open(io.BytesIO(jpeg)).quantization == Image.open(expected).quantization


def test_frames_depend_on_nothing_but_the_file(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", 60)
    assert frames_of(path) == frames_of(path)


def test_damage_ends_a_run_until_the_next_key_frame(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", 250, gop=25)
    damage(path, packet=90)
    picked = numbers_of(path, Fraction(5))
    assert set(picked) == set(range(50)) - {18, 19}, "damage from frame 90 to the key frame at 100"
    assert all(number == 5 * k for k, number in picked.items()), "no picture built upon a broken one"


def test_damage_that_ffmpeg_would_paint_over_is_noticed(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.avi", 50, size=(320, 240), grain=30, codec="mjpeg")
    damage(path, packet=40, keep=2000)
    assert set(numbers_of(path, Fraction(5))) == set(range(10)) - {8}


@pytest.mark.parametrize("packet", range(51, 56))
def test_a_key_frame_that_comes_out_after_later_damage_is_no_recovery(tmp_path: Path, packet: int) -> None:
    path = make_video(tmp_path / "v.mp4", 100, gop=25)
    damage(path, packet)
    picked = numbers_of(path, Fraction(25))
    assert not set(picked) & set(range(packet, 75)) and set(range(75, 100)) <= set(picked)


def test_a_damaged_first_key_frame_moves_the_start(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", 100, gop=25)
    damage(path, packet=0)
    assert list(numbers_of(path, Fraction(5)).values()) == list(range(25, 100, 5))


def test_a_video_damaged_up_to_its_end_is_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", 100, gop=100)
    damage(path, packet=30)
    with pytest.raises(VideoError, match=r"truncated or broken: it is damaged from 1\.\d s up to its end"):
        frames_of(path)


FASTSTART = {"movflags": "faststart"}
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}


@pytest.mark.parametrize("share", [0.7, 0.97])
@pytest.mark.parametrize(("container", "options"), [("mp4", FASTSTART), ("mkv", {}), ("avi", {}), ("flv", {})])
def test_a_video_cut_between_two_pictures_is_refused(
    tmp_path: Path, container: str, options: dict[str, str], share: float
) -> None:
    path = make_video(tmp_path / f"v.{container}", 200, time_base=Fraction(1, 5), movie_options=options)
    with pytest.raises(VideoError, match=r"truncated or broken: its header declares 40\.\d s, it can be decoded up to"):
        frames_of(cut(path, share))


@pytest.mark.parametrize("share", [0.5, 0.97, 1])
@pytest.mark.parametrize(("container", "options"), [("mp4", FASTSTART), ("mp4", FRAGMENTED), ("avi", {}), ("h264", {})])
def test_a_video_cut_in_a_picture_is_refused_however_little_is_missing(
    tmp_path: Path, container: str, options: dict[str, str], share: float
) -> None:
    path = make_video(tmp_path / f"v.{container}", 100, grain=9, movie_options=options)
    with pytest.raises(VideoError, match=r"truncated or broken: it is damaged from \d\.\d s up to its end"):
        frames_of(cut(path, share, inside=True))


def test_a_file_that_cannot_be_read_on_is_refused(tmp_path: Path) -> None:
    class Container:
        def demux(self, stream: object) -> Iterator[object]:
            yield from itertools.islice(video.container.demux(stream), 49)
            raise av.InvalidDataError(1, "Invalid data")

    with open_video(str(make_video(tmp_path / "v.mp4", 50)), Stores()) as video:
        broken = dataclasses.replace(video, container=Container())
        with pytest.raises(VideoError, match=r"it is damaged from 1\.\d s up to its end"):
            list(jpeg_frames(broken, fps=Fraction(1), short_side=32, quality=85))


def test_sound_may_outlast_the_pictures_a_little(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.flv", 100, time_base=Fraction(1), codec="flv", sound_seconds=101)
    with open_video(str(path), Stores()) as video:
        assert video.seconds is not None and video.seconds > 100.5
    assert len(frames_of(path)) == 100


def test_a_video_of_which_nothing_decodes_is_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", 20, gop=20)
    for packet in range(20):
        damage(path, packet=packet)
    with pytest.raises(VideoError, match="not one frame"):
        frames_of(path)


def damage(path: Path, packet: int, keep: int = 0) -> None:
    """Overwrite a packet (counted in the order of presentation) from its byte `keep` on."""
    with av.open(str(path)) as container:
        packets = [(p.pts, p.pos, p.size) for p in container.demux(video=0) if p.size]
    _, position, size = sorted(packets)[packet]
    data = bytearray(path.read_bytes())
    data[position + keep : position + size] = b"\xff" * (size - keep)
    path.write_bytes(data)
