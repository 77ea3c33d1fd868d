"""Values of layers: what images hold, what it means, and where each lands in the frame."""

import io
import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from surgstream.shards.corpus.layers import LayerConfig
from surgstream.shards.errors import LayerError, VideoError
from surgstream.shards.format.png import from_png, to_png
from surgstream.shards.format.records import Box
from surgstream.shards.layers.values import framed, meant, read_image, turned
from surgstream.shards.video.container.shape import Shape
from surgstream.shards.video.picture import fit, frame

TURNS = [None, *Image.Transpose]
CLASSES = LayerConfig(path="m")


def depth(millimetres: float) -> LayerConfig:
    return LayerConfig(path="d", millimetres_per_unit=millimetres)


def encoded(image: Image.Image, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Any picture of a video, of which a part may be shown, stretched and turned."""
    width, height = draw(st.integers(2, 40)), draw(st.integers(2, 40))
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    right = draw(st.integers(left + 1, width))
    bottom = draw(st.integers(top + 1, height))
    aspect = draw(st.fractions(Fraction(1, 3), 3, max_denominator=9))
    box = Box(left=left, top=top, right=right, bottom=bottom)
    return Shape(width, height, box, aspect, draw(st.sampled_from(TURNS)))


@st.composite
def crops(draw: st.DrawFn, shape: Shape) -> Box | None:
    """A part of what is shown, or all of it."""
    if draw(st.booleans()):
        return None
    box = shape.box
    left = draw(st.integers(box.left, box.right - 1))
    top = draw(st.integers(box.top, box.bottom - 1))
    right = draw(st.integers(left + 1, box.right))
    return Box(left=left, top=top, right=right, bottom=draw(st.integers(top + 1, box.bottom)))


def slow(
    upright: npt.NDArray[Any], shape: Shape, crop: Box | None, size: tuple[int, int]
) -> npt.NDArray[Any]:
    """Pixel by pixel, through Pillow's turns: the value of the stored pixel that holds the centre of each pixel."""
    inverse = {
        Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
        Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
    }
    image = Image.fromarray(upright)
    if shape.turn is not None:
        image = image.transpose(inverse.get(shape.turn, shape.turn))
    shown = np.asarray(image)

    box = crop or shape.box
    framing = frame(shape, 16, crop) if size == (0, 0) else fit(shape, size, crop)
    left, top, right, bottom = framing.window
    kept = np.zeros((bottom - top, right - left), upright.dtype)
    for y in range(top, bottom):
        for x in range(left, right):
            row = math.floor(Fraction(2 * y + 1, 2) * shape.height / framing.scaled[1])
            column = math.floor(Fraction(2 * x + 1, 2) * shape.width / framing.scaled[0])
            row = min(max(row, shape.box.top), shape.box.bottom - 1) - shape.box.top
            column = min(max(column, shape.box.left), shape.box.right - 1) - shape.box.left
            kept[y - top, x - left] = shown[row, column]
    assert box.left <= box.right

    image = Image.fromarray(kept)
    if shape.turn is not None:
        image = image.transpose(shape.turn)
    canvas = Image.new("L", framing.size)
    canvas.paste(image, ((canvas.width - image.width) // 2, (canvas.height - image.height) // 2))
    return np.asarray(canvas)


@given(st.data())
@settings(derandomize=True, deadline=None, max_examples=150)
def test_a_pixel_has_the_value_of_what_the_frame_shows_there(data: st.DataObject) -> None:
    shape = data.draw(shapes())
    crop = data.draw(crops(shape))
    size = data.draw(st.sampled_from([(0, 0), (9, 14), (17, 5)]))
    width, height = shape.box.right - shape.box.left, shape.box.bottom - shape.box.top
    if shape.is_quarter_turn:
        width, height = height, width
    picture = np.random.default_rng(width * height).integers(1, 255, (height, width), np.uint8)

    framing = frame(shape, 16, crop) if size == (0, 0) else fit(shape, size, crop)
    found = framed(picture, shape, framing, "f")
    assert found.shape == framing.size[::-1] and found.dtype == np.uint8
    assert (found == slow(picture, shape, crop, size)).all()
    # No value is made up: scaling masks must not mix classes, nor invent depth at edges.
    assert set(np.unique(found)) <= {0, *np.unique(picture)}


@pytest.mark.parametrize("turn", TURNS)
def test_turns_are_those_of_pillow(turn: Image.Transpose | None) -> None:
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = Image.fromarray(picture)
    expected = image if turn is None else image.transpose(turn)
    assert (turned(picture, turn) == np.asarray(expected)).all()
    assert (turned(picture.astype(np.uint16), turn) == np.asarray(expected)).all()


def test_another_size_than_the_picture_is_refused() -> None:
    shape = Shape(64, 48, Box(left=0, top=0, right=64, bottom=48), turn=Image.Transpose.ROTATE_90)
    with pytest.raises(LayerError) as raised:
        framed(np.zeros((48, 64), np.uint8), shape, frame(shape, 24), "masks/a.png")
    assert str(raised.value) == (
        "masks/a.png: expected 48x64 pixels, as the picture of its video has, got 64x48"
    )


@pytest.mark.parametrize("bits", [8, 16])
@given(seed=st.integers(0, 99), width=st.integers(1, 20), height=st.integers(1, 20))
@settings(derandomize=True, deadline=None, max_examples=25)
def test_png_keeps_every_value(bits: int, seed: int, width: int, height: int) -> None:
    kind = np.uint8 if bits == 8 else np.uint16
    picture = np.random.default_rng(seed).integers(0, 2**bits, (height, width), kind)
    found = from_png(to_png(picture), (width, height), bits)
    assert found.dtype == kind and (found == picture).all()


def test_a_png_of_another_size_or_depth_is_refused() -> None:
    png = to_png(np.zeros((3, 4), np.uint8))
    with pytest.raises(ValueError, match="expected 3x4 pixels, got 4x3"):
        from_png(png, (3, 4), 8)
    with pytest.raises(ValueError, match="expected 16 bits of gray a pixel, got L"):
        from_png(png, (4, 3), 16)
    with pytest.raises(ValueError, match="cannot be decoded"):
        from_png(png[:40], (4, 3), 8)


def palette() -> Image.Image:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([0, 0, 0, 9, 8, 7, 255, 0, 0])
    return image


@pytest.mark.parametrize(
    ("image", "form", "expected"),
    [
        (Image.fromarray(np.array([[0, 7, 255]], np.uint8)), "PNG", [0, 7, 255]),
        (Image.fromarray(np.array([[0, 7, 255]], np.uint8)), "TIFF", [0, 7, 255]),
        (Image.fromarray(np.array([[0, 7, 255]], np.uint8)), "BMP", [0, 7, 255]),
        (Image.fromarray(np.array([[0, 7, 255]], np.uint16)), "PNG", [0, 7, 255]),
        (Image.fromarray(np.array([[0, 7, 255]], np.uint8)).convert("RGB"), "PNG", [0, 7, 255]),
        (Image.fromarray(np.array([[0, 7, 255]], np.uint8)).convert("RGBA"), "PNG", [0, 7, 255]),
        (Image.fromarray(np.array([[0, 7, 255]], np.uint8)).convert("LA"), "PNG", [0, 7, 255]),
        (Image.fromarray(np.array([[False, True]])), "PNG", [0, 255]),
        (palette(), "PNG", [0, 1, 2]),
    ],
)
def test_classes_are_kept_as_they_are(image: Image.Image, form: str, expected: list[int]) -> None:
    found = meant(read_image(encoded(image, form), "f"), CLASSES, "f")
    assert found.dtype == np.uint8 and found.tolist() == [expected]


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (
            Image.new("RGB", (2, 2), (9, 9, 8)),
            r"got colours such as \[9, 9, 8\] in row 0, column 0",
        ),
        (Image.new("RGBA", (2, 2), (9, 9, 9, 0)), r"got colours such as \[9, 9, 9, 0\]"),
        (
            Image.fromarray(np.array([[256]], np.uint16)),
            "from 0 to 255, got 256 to 256; if they are",
        ),
    ],
)
def test_what_is_no_class_is_refused(image: Image.Image, reason: str) -> None:
    with pytest.raises(LayerError, match=f"^masks/a.png: .*{reason}"):
        meant(read_image(encoded(image), "masks/a.png"), CLASSES, "masks/a.png")


def test_a_lossy_image_is_refused() -> None:
    with pytest.raises(LayerError, match=r"m.jpg: .*\(PNG, TIFF, BMP\), got JPEG"):
        read_image(encoded(Image.new("L", (8, 8)), "JPEG"), "m.jpg")


@pytest.mark.parametrize("data", [b"", b"no image" * 9, encoded(Image.new("L", (64, 64)))[:40]])
def test_a_damaged_image_is_the_fault_of_its_video(data: bytes) -> None:
    with pytest.raises(VideoError, match=r"^/data/DOE_JANE/1.png: cannot be read") as raised:
        read_image(data, "/data/DOE_JANE/1.png")
    assert "JANE" not in raised.value.nameless


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=9), st.sampled_from([0.01, 0.002, 0.5]))
@settings(derandomize=True, deadline=None, max_examples=100)
def test_depth_is_in_hundredths_of_a_millimetre(values: list[int], millimetres: float) -> None:
    raw = np.array([values], np.uint16)
    exact = [value * Fraction(str(millimetres)) * 100 for value in values]
    if max(exact) > 65535:
        with pytest.raises(LayerError, match=r"d.png: expected distances from 0 to 655.35 mm"):
            meant(raw, depth(millimetres), "d.png")
        return
    found = meant(raw, depth(millimetres), "d.png")
    assert found.dtype == np.uint16
    assert all(
        abs(got - want) <= Fraction(1, 2)
        for got, want in zip(found[0].tolist(), exact, strict=True)
    )


def test_depth_of_c3vd() -> None:
    """Its values v mean v / 65535 * 100 mm."""
    raw = read_image(
        encoded(Image.fromarray(np.array([[0, 1, 32768, 65535]], np.uint16)), "TIFF"), "f"
    )
    assert meant(raw, depth(100 / 65535), "f").tolist() == [[0, 0, 5000, 10000]]


def test_depth_in_floats_has_zero_where_nothing_is_known() -> None:
    raw = np.array([[1.234, np.nan, np.inf, 655.0]], np.float32)
    data = encoded(Image.fromarray(raw), "TIFF")
    assert meant(read_image(data, "f"), depth(1.0), "f").tolist() == [[123, 0, 0, 65500]]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (np.array([[-1.0]], np.float32), "got -1 to -1 at 1 mm a unit"),
        (np.array([[656.0]], np.float32), "got 656 to 656 at 1 mm a unit"),
        (np.zeros((2, 2, 3), np.uint8), "expected a gray image of distances, got 3 channels"),
    ],
)
def test_what_is_no_depth_is_refused(raw: npt.NDArray[Any], reason: str) -> None:
    with pytest.raises(LayerError, match=reason):
        meant(raw, depth(1.0), "d.tiff")
