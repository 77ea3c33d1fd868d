"""Pictures that change inside a video: a recorder's input switches, parts are joined. A circle stays a circle."""

import io
import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from surgstream.shards.format.records import Box, Change
from surgstream.shards.screening.borders import find_border
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.container.shape import Margins, Shape, Shapes, whole
from surgstream.shards.video.frames import JpegFrames
from surgstream.shards.video.picture import fit, frame
from surgstream.shards.video.sources import Film, VideoFile, find_film
from tests.helpers.commands import pack as main
from tests.helpers.packing import write_corpus
from tests.helpers.scenes import in_disc, make_film, scene
from tests.helpers.zoo import ffmpeg

X264 = "-c:v libx264 -preset veryfast -crf 14 -pix_fmt yuv420p"
MPEG2 = "-c:v mpeg2video -q:v 2"
TURNED = "-bsf:v h264_metadata=display_orientation=insert:rotate=90"
RATE, SECONDS = 5, 3

Pictures = npt.NDArray[np.uint8]


def part(path: Path, size: tuple[int, int], aspect: str, options: str) -> Path:
    """A film of a circle, a quarter of it red, as its pixels are shown."""
    width, height = size
    across, _, down = aspect.partition("/")
    y, x = np.mgrid[:height, :width]
    x, y = (x - width / 2) * int(across) / int(down), y - height / 2
    inside = np.hypot(x, y) < 0.3 * height
    picture = np.where(inside[..., None], [200, 200, 200], [20, 20, 60]).astype(np.uint8)
    picture[inside & (x > 0) & (y < 0)] = [200, 20, 20]
    raw = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {RATE} -i -"
    words = [*raw.split(), "-vf", f"setsar={aspect}", *options.split(), "-threads", "1", str(path)]
    ffmpeg(*words, sent=picture.tobytes() * RATE * SECONDS)
    return path


def joined(path: Path, *parts: Path) -> Path:
    """Parts one after another: transport streams as bytes, others by FFmpeg's own program."""
    if path.suffix == ".ts":
        path.write_bytes(b"".join(each.read_bytes() for each in parts))
        return path
    names = path.with_suffix(".txt")
    names.write_text("".join(f"file '{each}'\n" for each in parts))
    ffmpeg("-f", "concat", "-safe", "0", "-i", str(names), "-c", "copy", str(path))
    return path


def frames_of(
    film: Film, short_side: int = 96, **options: object
) -> tuple[list[Pictures], list[Change]]:
    frames = JpegFrames(film, fps=Fraction(1), short_side=short_side, quality=95, **options)  # type: ignore[arg-type]
    return [np.asarray(Image.open(io.BytesIO(jpeg))) for _, jpeg in frames], frames.changes


def proportion(picture: Pictures) -> float:
    """How wide the circle is for its height."""
    rows, columns = np.nonzero(picture[..., 0] > 110)
    return float((np.ptp(columns) + 1) / (np.ptp(rows) + 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "before", "after", "size", "fitted"),
    [
        ("ts", ((320, 240), "1/1", X264), ((640, 360), "1/1", X264), (128, 96), (128, 72)),
        ("ts", ((640, 360), "1/1", X264), ((320, 240), "1/1", X264), (171, 96), (128, 96)),
        ("ts", ((320, 240), "1/1", X264), ((640, 480), "1/1", X264), (128, 96), (128, 96)),
        ("ts", ((352, 288), "12/11", X264), ((352, 288), "16/11", X264), (128, 96), (128, 72)),
        ("ts", ((720, 576), "16/15", MPEG2), ((720, 576), "64/45", MPEG2), (128, 96), (128, 72)),
        ("mpg", ((720, 576), "16/15", MPEG2), ((720, 576), "64/45", MPEG2), (128, 96), (128, 72)),
        ("mkv", ((352, 288), "12/11", X264), ((352, 288), "16/11", X264), (128, 96), (128, 72)),
        (
            "webm",
            ((320, 240), "1/1", "-c:v libvpx-vp9"),
            ((640, 360), "1/1", "-c:v libvpx-vp9"),
            (128, 96),
            (128, 72),
        ),
        (
            "mkv",
            ((320, 240), "1/1", "-c:v mjpeg"),
            ((640, 360), "1/1", "-c:v mjpeg"),
            (128, 96),
            (128, 72),
        ),
        (
            "ts",
            ((320, 240), "1/1", X264),
            ((320, 240), "1/1", f"{X264} {TURNED}"),
            (128, 96),
            (72, 96),
        ),
    ],
)
def test_a_circle_stays_a_circle(
    tmp_path: Path,
    suffix: str,
    before: tuple[tuple[int, int], str, str],
    after: tuple[tuple[int, int], str, str],
    size: tuple[int, int],
    fitted: tuple[int, int],
) -> None:
    parts = [
        part(tmp_path / f"{name}.{suffix}", *each) for name, each in (("a", before), ("b", after))
    ]
    film = VideoFile(str(joined(tmp_path / f"joined.{suffix}", *parts)), Stores(), threads=3)
    pictures, (change,) = frames_of(film)
    assert len(pictures) == 2 * SECONDS and change.second == SECONDS and change.was != change.now
    assert {picture.shape for picture in pictures} == {(size[1], size[0], 3)}
    assert all(abs(proportion(picture) - 1) < 0.03 for picture in pictures)

    upright = (
        ""
        if "rotate" in after[2]
        else f"scale={fitted[0]}:{fitted[1]}:flags=bicubic+full_chroma_int+accurate_rnd,"
    )
    turned = "scale=96:72:flags=bicubic,transpose=cclock,"
    filters = f"fps=1:round=up,{upright or turned}pad={size[0]}:{size[1]}:(ow-iw)/2:(oh-ih)/2"
    words = [
        "-noautorotate",
        "-i",
        str(parts[1]),
        "-vf",
        filters,
        "-fps_mode",
        "passthrough",
        "-frames:v",
        "1",
    ]
    data = ffmpeg(*words, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    expected = np.frombuffer(data, np.uint8).reshape(size[1], size[0], 3)
    assert np.abs(pictures[-1].astype(float) - expected).mean() < 3


def test_a_container_that_says_otherwise_than_its_stream_is_believed(tmp_path: Path) -> None:
    parts = [
        part(tmp_path / f"{name}.ts", (320, 240), aspect, X264)
        for name, aspect in (("a", "1/1"), ("b", "4/3"))
    ]
    path = tmp_path / "v.mp4"
    both = joined(tmp_path / "both.ts", *parts)
    ffmpeg("-i", str(both), "-c", "copy", "-aspect", "8:3", str(path))
    pictures, changes = frames_of(VideoFile(str(path), Stores()))
    assert not changes and {picture.shape for picture in pictures} == {(96, 256, 3)}


def test_images_of_other_sizes(tmp_path: Path) -> None:
    for number, size in enumerate([(320, 240), (640, 360), (240, 320)]):
        Image.fromarray(
            in_disc(np.full((size[1], size[0], 3), 200, np.uint8), (size[0] // 2, size[1] // 2), 70)
        ).save(tmp_path / f"{number}.png")
    pictures, changes = frames_of(find_film(str(tmp_path), Stores(), image_fps=1))
    assert [each.now for each in changes] == ["640x360", "240x320"]
    assert all(
        picture.shape == (96, 128, 3) and abs(proportion(picture) - 1) < 0.05
        for picture in pictures
    )


@pytest.mark.slow
@pytest.mark.parametrize("most", ["before", "after"])
def test_a_crop_is_of_the_pictures_that_it_was_found_in(tmp_path: Path, most: str) -> None:
    lengths = {"before": (60, 20), "after": (20, 60)}[most]
    small = [in_disc(scene("tissue", n, (320, 240)), (190, 120), 70) for n in range(lengths[0])]
    large = [in_disc(scene("tissue", n, (640, 360)), (300, 180), 120) for n in range(lengths[1])]
    path = joined(
        tmp_path / "v.ts",
        make_film(tmp_path / "a.ts", small, gop=5),
        make_film(tmp_path / "b.ts", large, gop=5),
    )
    film = VideoFile(str(path), Stores())
    border = find_border(film)
    assert border is not None and border.shape.width == {"before": 320, "after": 640}[most]
    pictures, changes = frames_of(film, 120, crop=(border.box, border.shape))
    assert len(changes) == 1 and len({picture.shape for picture in pictures}) == 1
    rows = [np.nonzero(picture.max(2) > 30) for picture in pictures]
    shares = [(np.ptp(columns) + 1) / (np.ptp(lines) + 1) for lines, columns in rows]
    assert all(abs(share - 1) < 0.08 for share in shares)


def test_a_crop_is_of_pictures_that_only_the_first_says_are_turned(tmp_path: Path) -> None:
    upright, path = tmp_path / "upright.mp4", tmp_path / "v.mp4"
    make_film(upright, [in_disc(scene("tissue", n), (190, 85), 70) for n in range(100)], gop=20)
    ffmpeg("-i", str(upright), "-c", "copy", *TURNED.split(), str(path))
    film = VideoFile(str(path), Stores())
    border = find_border(film)
    assert border is not None
    pictures, changes = frames_of(film, 100, crop=(border.box, border.shape))
    assert not changes and all(max(picture.shape[:2]) < 104 for picture in pictures)


@pytest.mark.parametrize(
    "form", ["yuv420p", "yuv410p", "yuv440p", "pal8", "bayer_rggb8", "rgb4", "p016le", "gbrpf32le"]
)
@pytest.mark.parametrize("size", [(64, 48), (17, 13), (5, 3), (1, 1)])
def test_any_kind_of_picture_can_be_asked(form: str, size: tuple[int, int]) -> None:
    picture = av.VideoFrame(*size, form)
    picture.pts, picture.time_base = 0, Fraction(1, 25)
    for declared in (Fraction(1), Fraction(12, 11)):
        shape = Shapes(Fraction(declared), None, Margins()).of(picture)
        assert (
            (shape.width, shape.height) == size
            and shape.pixel_aspect in (1, declared)
            and shape.turn is None
        )


sides, aspects = (
    st.integers(16, 4000),
    st.sampled_from([Fraction(1), Fraction(12, 11), Fraction(64, 45), Fraction(1, 2)]),
)
turns = st.sampled_from(
    [None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.TRANSPOSE]
)


shapes = st.builds(
    lambda width, height, *more: Shape(width, height, whole(width, height), *more),
    sides,
    sides,
    aspects,
    turns,
)


@given(shapes, shapes, st.integers(8, 512))
def test_any_picture_fits_any_frame_in_its_own_proportions(
    first: Shape, other: Shape, short_side: int
) -> None:
    size = frame(first, short_side).size
    assert fit(first, size) == frame(first, short_side)

    framing = fit(other, size)
    left, top, right, bottom = framing.window
    shown = (bottom - top, right - left) if other.is_quarter_turn else (right - left, bottom - top)
    assert (left, top) == (0, 0) and shown[0] <= size[0] and shown[1] <= size[1]
    assert shown[0] >= size[0] - 1 or shown[1] >= size[1] - 1
    exact = other.width * other.pixel_aspect / other.height
    scale = max((right - left) / exact, bottom - top)
    assert abs(right - left - exact * scale) <= max(2, 2 * exact) and abs(
        bottom - top - scale
    ) <= max(2, 2 / exact)


def test_a_crop_that_leaves_almost_nothing_does_not_fill_the_memory() -> None:
    tiny = Shape(8192, 8192, Box(left=4000, top=4000, right=4001, bottom=4001))
    framing = fit(tiny, (455, 256))
    assert framing.scaled[0] * framing.scaled[1] < 2**27


def test_a_video_that_changes_all_the_time_tells_so_a_hundred_times(tmp_path: Path) -> None:
    for number in range(130):
        Image.new("RGB", (32 + number % 2, 32)).save(tmp_path / f"{number}.png")
    pictures, changes = frames_of(find_film(str(tmp_path), Stores(), image_fps=1))
    assert len(pictures) == 130 and len(changes) == 100


def test_readings_and_the_report_tell_of_changes(tmp_path: Path) -> None:
    parts = [
        part(tmp_path / f"{size[0]}.ts", size, "1/1", X264) for size in ((320, 240), (640, 360))
    ]
    joined(tmp_path / "joined.ts", *parts)
    corpus = write_corpus(tmp_path, {"name": "d", "videos": ["joined.ts", "320.ts"]}, short_side=96)
    assert main([corpus, str(tmp_path / "out"), "--report", str(tmp_path / "report")]) == 0
    lines = [
        json.loads(line) for line in (tmp_path / "out" / "readings.jsonl").read_text().splitlines()
    ]
    assert {line["video"]: line["changes"] for line in lines} == {
        "320": [],
        "joined": [{"second": 3.0, "was": "320x240", "now": "640x360"}],
    }
    page = (tmp_path / "report" / "index.html").read_text()
    assert page.count("its pictures change once, at 3.0 s from 320x240 to 640x360") == 1
