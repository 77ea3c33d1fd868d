"""Which frames are taken, and what they look like."""

import contextlib
import io
import itertools
import threading
import time
from fractions import Fraction
from pathlib import Path
from unittest.mock import Mock, patch

import av
import av.filter
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.container.shape import Shape, whole
from surgstream.shards.video.frames import JpegFrames
from surgstream.shards.video.picture import packed_size
from surgstream.shards.video.sampling import Shown, pick
from surgstream.shards.video.sources import VideoFile
from tests.helpers.frames import frames_of, numbers_of
from tests.helpers.videos import make_video, number_in, picture_of, shown_at

rates = st.fractions(Fraction(1, 3), 30, max_denominator=30)


def jpeg_of(grey: npt.NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.slow
@given(
    gaps=st.lists(st.fractions(Fraction(1, 100), 4, max_denominator=100), min_size=1, max_size=30),
    fps=rates,
)
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
    assert list(numbers_of(path, Fraction(2)).values()) == shown_at(
        stamps, Fraction(60, 25), Fraction(2)
    )


def test_a_faster_rate_repeats_what_stays_on_the_screen(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", 5, time_base=Fraction(1, 5))
    assert list(numbers_of(path, Fraction(10)).values()) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_variable_rate(tmp_path: Path, container: str) -> None:
    pts = [0, 40, 500, 999, 1000, 1001, 1400, 4700, 4730, 5000, 6020]
    path = make_video(tmp_path / f"v.{container}", pts, time_base=Fraction(1, 1000), gop=4)
    picked = numbers_of(path)
    assert [picked[k] for k in range(7)] == [0, 4, 6, 6, 6, 9, 9]
    assert [picked[k] for k in range(7)] == shown_at(
        [Fraction(n, 1000) for n in pts], Fraction(7), Fraction(1)
    )


@given(gaps=st.lists(st.integers(1, 1500), min_size=1, max_size=25), fps=st.sampled_from([1, 2, 5]))
@settings(
    derandomize=True,
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_the_frames_are_those_of_ffmpegs_fps_filter_rounding_up(
    tmp_path: Path, gaps: list[int], fps: int
) -> None:
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
    wanted = np.asarray(
        Image.fromarray(picture_of(25, 130, 98)).resize((66, 50), Image.Resampling.BICUBIC)
    )
    assert np.abs(np.asarray(picture, dtype=float) - wanted).mean() < 6


@pytest.mark.parametrize("quality", [40, 85])
def test_the_quality_of_the_jpegs_is_the_wanted_one(tmp_path: Path, quality: int) -> None:
    path = make_video(tmp_path / "v.mp4", 1)
    ((_, jpeg),) = JpegFrames(
        VideoFile(str(path), Stores()), fps=Fraction(1), short_side=48, quality=quality
    )
    expected = io.BytesIO()
    Image.new("RGB", (8, 8)).save(expected, "JPEG", quality=quality)
    assert Image.open(io.BytesIO(jpeg)).quantization == Image.open(expected).quantization


def test_frames_depend_on_nothing_but_the_file(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", 60)
    assert frames_of(path) == frames_of(path)


class Lone:
    """A picture that must not be scaled on two threads at a time."""

    def __init__(self, number: int) -> None:
        self._picture = av.VideoFrame.from_ndarray(picture_of(number), format="rgb24")
        self.format, self._lock = self._picture.format, threading.Lock()

    def reformat(self, *words: object, **options: object) -> object:
        assert self._lock.acquire(blocking=False)
        time.sleep(0.01)
        self._lock.release()
        return self._picture.reformat(*words, **options)


def test_a_picture_that_stays_is_scaled_on_one_thread_at_a_time(tmp_path: Path) -> None:
    film, watcher = VideoFile(str(make_video(tmp_path / "v.mp4", 1)), Stores()), Mock()
    lone = [Lone(number) for number in range(11)]
    shown = [(number, lone[(number + 1) // 2]) for number in range(20)]
    shape = Shape(64, 48, whole(64, 48))
    with patch.multiple(film, picked=lambda fps: iter(shown), shape=lambda picture: shape):
        frames = dict(
            JpegFrames(
                film, fps=Fraction(5, 2), short_side=48, quality=85, threads=3, watcher=watcher
            )
        )
    assert list(map(number_in, frames.values())) == [(number + 1) // 2 for number in range(20)]
    assert [call.args[0] for call in watcher.add.call_args_list] == list(range(0, 20, 2))
