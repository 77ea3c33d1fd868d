"""Whatever FFmpeg reads is packed as FFmpeg's own program shows it: the same pictures, at the same times, upright."""

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.container.files import open_video
from surgstream.shards.video.container.shape import Shape, whole
from surgstream.shards.video.frames import JpegFrames
from surgstream.shards.video.picture import frame, to_image
from surgstream.shards.video.sources import VideoFile
from tests.helpers.zoo import (
    KINDS,
    NUM_PICTURES,
    RATE,
    Kind,
    Pictures,
    make,
    number_of,
    shown_by_ffmpeg,
)

SHORT_SIDE = 96
BY_NAME = {kind.name: kind for kind in KINDS}

Find = Callable[[str], Path]


@pytest.fixture(scope="module")
def find(tmp_path_factory: pytest.TempPathFactory) -> Find:
    """Gives the file of a kind by its name, made when first asked for."""
    folder = tmp_path_factory.mktemp("zoo")

    def found(name: str) -> Path:
        path = folder / name
        return path if path.exists() else make(BY_NAME[name], folder, found)

    return found


def pictures_of(
    path: Path, fps: Fraction, *, threads: int = 1, spare: bool = True, gpu: bool = False
) -> Pictures:
    """The frames, (num, H, W, 3); there is no gap between them."""
    film = VideoFile(str(path), Stores(), threads=threads, spare=spare, gpu=gpu)
    numbers, jpegs = zip(*JpegFrames(film, fps=fps, short_side=SHORT_SIDE, quality=95), strict=True)
    assert numbers == tuple(range(len(numbers))) and not film.lost
    return np.stack([np.asarray(Image.open(io.BytesIO(jpeg))) for jpeg in jpegs])


@pytest.mark.slow
@pytest.mark.parametrize(
    "fps", [Fraction(3, 10), Fraction(1), Fraction(7), Fraction(2997, 100)], ids=str
)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_frames_are_what_ffmpeg_shows(find: Find, kind: Kind, fps: Fraction) -> None:
    path = find(kind.name)
    pictures = pictures_of(path, fps)
    for threads, spare in ((1, False), (3, True)):
        np.testing.assert_array_equal(
            pictures_of(path, fps, threads=threads, spare=spare), pictures
        )
    if kind.agrees:
        expected = shown_by_ffmpeg(path, fps, *pictures.shape[2:0:-1])
        assert len(pictures) == len(expected)
        differences = np.abs(pictures.astype(float) - expected).mean((1, 2, 3))
        assert differences.max() < 2, (
            f"frame {differences.argmax()}: mean difference {differences.max():.1f}"
        )


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_gpu_decodes_the_same_frames(find: Find, kind: Kind) -> None:
    path = find(kind.name)
    np.testing.assert_array_equal(
        pictures_of(path, Fraction(7), gpu=True), pictures_of(path, Fraction(7))
    )


@pytest.mark.gpu
def test_a_gpu_is_used(find: Find) -> None:
    with open_video(str(find("h264.mp4")), Stores(), gpu=True) as video:
        picture = next(video.container.decode(video.stream))
        assert video.stream.codec_context.is_hwaccel and picture.format.name == "nv12"


@pytest.mark.parametrize(("planar", "packed"), [("yuv420p", "nv12"), ("yuv420p10le", "p010le")])
@pytest.mark.parametrize("short_side", [96, 95, 41])
def test_what_a_gpu_gives_is_scaled_as_what_a_cpu_gives(
    planar: str, packed: str, short_side: int
) -> None:
    noise = np.random.default_rng(0).integers(256, size=(96, 170, 3)).astype(np.uint8)
    picture = av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(format=planar)
    framing = frame(Shape(170, 96, whole(170, 96)), short_side)
    expected, given = to_image(picture, framing), picture.reformat(format=packed, threads=1)
    assert all(to_image(given, framing) == expected for _ in range(100)), "every time"


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.numbered], ids=str)
def test_frames_show_what_was_drawn_for_their_time(find: Find, kind: Kind) -> None:
    pictures = pictures_of(find(kind.name), Fraction(7))
    assert [number_of(picture) for picture in pictures] == [
        k * RATE // 7 for k in range(NUM_PICTURES * 7 // RATE + 1)
    ]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("h264.mp4", (128, 96)),
        ("turned_90.mp4", (96, 128)),
        ("mirrored_turned.mp4", (96, 128)),
        ("turned_180.mp4", (128, 96)),
        ("turned_by_the_first.mp4", (96, 128)),
        ("wide_pixels.mp4", (140, 96)),
        ("fields_wide.mpg", (171, 96)),
        ("impossible_pixels.mkv", (128, 96)),
        ("dv.avi", (128, 96)),
        ("cropped.mp4", (119, 96)),
    ],
)
def test_frames_are_upright_with_square_pixels(
    find: Find, name: str, size: tuple[int, int]
) -> None:
    _, height, width, _ = pictures_of(find(name), Fraction(1)).shape
    assert (width, height) == size


def test_what_one_picture_says_of_its_turn_holds_until_another_says_otherwise(find: Find) -> None:
    turned, upright = (
        pictures_of(find(name), Fraction(7)) for name in ("turned_by_the_first.mp4", "h264.mp4")
    )
    expected = np.rot90(upright.astype(float), axes=(1, 2))
    assert np.abs(turned - expected).mean((1, 2, 3)).max() < 3


def test_both_fields_are_used_but_not_woven(find: Find) -> None:
    """Rows of an interlaced picture alternate between two moments; after deinterlacing they do not."""
    path = find("fields_top_first.mp4")
    frames = JpegFrames(
        VideoFile(str(path), Stores()), fps=Fraction(25, 2), short_side=144, quality=95
    )
    for _, jpeg in list(frames)[1:]:
        blue = np.asarray(Image.open(io.BytesIO(jpeg)), dtype=float)[80:, :, 2].mean(1)
        assert np.abs(np.diff(blue)).max() < 2.5
