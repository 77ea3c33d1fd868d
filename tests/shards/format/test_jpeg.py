"""What a header declares, against Pillow."""

import io
import warnings

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from surgstream.shards.format.jpeg import PictureSizes, picture_size


@st.composite
def jpegs(draw: st.DrawFn) -> bytes:
    """Baseline, progressive, grey, with EXIF and its thumbnail, comments, colour profiles, restart markers."""
    width, height = draw(st.tuples(st.integers(1, 90), st.integers(1, 90)))
    mode = draw(st.sampled_from(["RGB", "L", "CMYK"]))
    channels = {"RGB": 3, "L": 1, "CMYK": 4}[mode]
    noise = np.random.default_rng(draw(st.integers(0, 9))).integers(
        0, 256, (height, width, channels), np.uint8
    )
    picture = Image.fromarray(noise.squeeze(2) if channels == 1 else noise, mode)
    exif = Image.Exif()
    exif[0x010E] = draw(st.text("é \xff", max_size=30)).encode().decode("latin-1")
    file = io.BytesIO()
    picture.save(
        file,
        "JPEG",
        quality=draw(st.integers(1, 100)),
        progressive=draw(st.booleans()),
        exif=draw(
            st.sampled_from(
                [b"", exif.tobytes(), b"Exif\0\0" + file.getvalue() + b"\xff\xc0\0\x11\x08"]
            )
        ),
        comment=draw(st.binary(max_size=40)),
        icc_profile=draw(st.sampled_from([None, bytes(3000)])),
        restart_marker_blocks=draw(st.sampled_from([0, 1, 7])),
    )
    return file.getvalue()


def pillow_size(data: bytes) -> tuple[int, int] | None:
    """What Pillow decodes; None when it cannot."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
                picture.load()
                return picture.size
        except Exception:  # it raises many kinds
            return None


@given(jpegs())
@settings(max_examples=100, deadline=None)
def test_any_jpeg_has_the_size_that_pillow_decodes(data: bytes) -> None:
    assert picture_size(data) == picture_size(memoryview(data)) == pillow_size(data) is not None


@given(jpegs(), st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_jpeg_is_never_decoded_at_another_size(data: bytes, draws: st.DataObject) -> None:
    damaged = bytearray(data)
    for _ in range(draws.draw(st.integers(1, 4))):
        place = draws.draw(st.integers(0, min(len(damaged), 700) - 1))
        damaged[place : place + draws.draw(st.integers(0, 2))] = draws.draw(st.binary(max_size=3))
        damaged = damaged or bytearray(1)
    declared = picture_size(damaged)
    assert declared is None or pillow_size(bytes(damaged)) in (None, declared)


@given(st.binary(max_size=64).map(lambda tail: b"\xff\xd8" + tail) | st.binary(max_size=64))
@settings(max_examples=200)
def test_any_bytes_have_a_size_or_none(data: bytes) -> None:
    size = picture_size(data)
    assert size is None or all(0 <= side < 2**16 for side in size)


def test_endless_headers_end() -> None:
    assert picture_size(b"\xff\xd8" + b"\xff\xe0\0\x02" * 10**6) is None
    assert picture_size(b"\xff" * 10**6) is None


@given(
    st.lists(st.binary(max_size=40).map(lambda tail: b"\xff\xd8" + tail) | jpegs(), max_size=3),
    st.data(),
)
@settings(max_examples=50, deadline=None)
def test_sizes_do_not_depend_on_the_pictures_before(
    pictures: list[bytes], draws: st.DataObject
) -> None:
    again = draws.draw(st.lists(st.sampled_from(pictures), max_size=6)) if pictures else []
    cut = [data[: draws.draw(st.integers(0, 200))] for data in again]
    sizes = PictureSizes()
    for data in [*pictures, *again, *cut]:
        assert sizes(memoryview(data)) == picture_size(data)


def test_a_picture_that_ends_with_its_header_is_none_after_a_whole_one_too() -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 9)).save(file, "JPEG")
    whole = file.getvalue()
    sizes = PictureSizes()
    for end in range(len(whole), 0, -1):
        assert sizes(memoryview(whole)) is not None
        assert sizes(memoryview(whole[:end])) == picture_size(whole[:end])
