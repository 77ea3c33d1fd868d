"""What containers declare to be cut off is cut off, as FFmpeg's own program does."""

import io
import random
import struct
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from surgstream.shards.screening.borders import find_border
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.container.cropping import declared_margins
from surgstream.shards.video.container.shape import Margins
from surgstream.shards.video.frames import JpegFrames
from surgstream.shards.video.sources import VideoFile
from tests.helpers.scenes import in_disc, make_film, scene
from tests.helpers.videos import make_video
from tests.helpers.zoo import ffmpeg, shown_by_ffmpeg

X264 = "-c:v libx264 -preset veryfast -crf 14 -pix_fmt yuv420p"
CROPS = (
    (b"\x54\xcc", "left"),
    (b"\x54\xbb", "top"),
    (b"\x54\xdd", "right"),
    (b"\x54\xaa", "bottom"),
)


def with_aperture(movie: bytes, kept: tuple[int, int], offset: tuple[int, int]) -> bytes:
    """An MP4 file whose movie box comes last, with a clean aperture of a size, that far from the middle."""
    numbers = [each for pair in (*kept, *offset) for each in (pair, 1)]
    box = struct.pack(">I4s8i", 40, b"clap", *numbers)
    data, at = bytearray(movie), 0
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        size, found = struct.unpack(">I4s", data[at : at + 8])
        while found != name:
            at += size
            size, found = struct.unpack(">I4s", data[at : at + 8])
        struct.pack_into(">I", data, at, size + len(box))
        end = at + size
        at += 16 if name == b"stsd" else 8
    return bytes(data[:end] + box + data[end:])


def with_crops(film: bytes, margins: Margins) -> bytes:
    """A Matroska file with elements PixelCrop, which take the place of what is void before."""
    new = b"".join(name + b"\x81" + bytes([getattr(margins, side)]) for name, side in CROPS)
    data, void = bytearray(film), (0, 0, 0)

    def elements(at: int, stop: int) -> Iterator[tuple[bytes, int, int, int]]:
        while at < stop:
            name = 9 - data[at].bit_length()
            length = 9 - data[at + name].bit_length()
            size = int.from_bytes(data[at + name : at + name + length]) & (1 << 7 * length) - 1
            yield bytes(data[at : at + name]), at + name, length, size
            at += name + length + size

    def resize(at: int, length: int, size: int) -> None:
        data[at : at + length] = (size | 1 << 7 * length).to_bytes(length)

    start, stop = 0, len(data)
    for wanted in (b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae", b"\xe0"):
        for name, at, length, size in elements(start, stop):
            if name == b"\xec" and not void[2]:
                void = at, length, size
            if name == wanted:
                break
        if wanted != b"\x18\x53\x80\x67":
            resize(at, length, size + len(new))
        start, stop = at + length, at + length + size
    data[stop:stop] = new
    at, length, size = void
    resize(at, length, size - len(new))
    del data[at + length : at + length + len(new)]
    return bytes(data)


def declared(source: Path, name: str) -> Path:
    """A film with 16 and 24 columns and 12 and 8 rows that are not to be shown."""
    path = source.with_name(name)
    ffmpeg("-i", str(source), "-c", "copy", str(path))
    margins = Margins(16, 12, 24, 8)
    if path.suffix == ".mp4":
        path.write_bytes(with_aperture(path.read_bytes(), (320 - 40, 240 - 20), (-4, 2)))
    else:
        path.write_bytes(with_crops(path.read_bytes(), margins))
    with path.open("rb") as file:
        assert declared_margins(file) == [margins] and file.tell() == 0
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
@pytest.mark.parametrize(("aspect", "size"), [("1/1", (280, 220)), ("64/45", (398, 220))])
def test_what_is_declared_to_be_cut_off_is(
    tmp_path: Path, name: str, aspect: str, size: tuple[int, int]
) -> None:
    source = tmp_path / "source.mp4"
    ffmpeg(
        *f"-f lavfi -i testsrc2=s=320x240:r=25:d=2 -vf gblur=sigma=4,setsar={aspect} {X264} {source}".split()
    )
    path = declared(source, name)
    frames = JpegFrames(VideoFile(str(path), Stores()), fps=Fraction(5), short_side=220, quality=95)
    pictures = np.stack([np.asarray(Image.open(io.BytesIO(jpeg))) for _, jpeg in frames])
    expected = shown_by_ffmpeg(path, Fraction(5), frames.width, frames.height)
    assert np.abs(pictures.astype(float) - expected).mean((1, 2, 3)).max() < 3
    if name == "v.mkv" and aspect != "1/1":
        size = (
            round(220 * 320 * Fraction(aspect) / 240),
            220,
        )  # there the proportions are declared, not the aspect
    assert abs(frames.width - size[0]) <= 1 and frames.height == size[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_a_border_is_found_within_what_is_shown(tmp_path: Path, name: str) -> None:
    pictures = [in_disc(scene("tissue", n, (320, 240)), (170, 120), 70) for n in range(60)]
    for picture in pictures:
        picture[:, :12] = 255
    border = find_border(
        VideoFile(str(declared(make_film(tmp_path / "source.mp4", pictures), name)), Stores())
    )
    assert border is not None
    found = border.box.left, border.box.top, border.box.right, border.box.bottom
    assert max(abs(a - b) for a, b in zip(found, (100, 50, 241, 191), strict=True)) <= 3


def test_files_that_declare_nothing_and_damaged_ones(tmp_path: Path) -> None:
    source = tmp_path / "source.mp4"
    ffmpeg(*f"-f lavfi -i testsrc2=s=320x240:r=25:d=1 {X264} {source}".split())
    assert declared_margins(io.BytesIO(source.read_bytes())) == [Margins()]
    assert (
        declared_margins(io.BytesIO(b"")) == declared_margins(io.BytesIO(b"\x1a\x45\xdf\xa3")) == []
    )
    for name in ("v.mp4", "v.mkv"):
        data = declared(source, name).read_bytes()
        for seed in range(300):
            chance, damaged = random.Random(seed), bytearray(data)
            for _ in range(chance.choice([1, 5, 50])):
                damaged[chance.randrange(len(data) if chance.random() < 0.5 else 900)] = (
                    chance.choice([0, 1, 255, 127])
                )
            del damaged[chance.choice([40, 500, len(data)]) :]
            for margins in declared_margins(io.BytesIO(damaged)):
                assert min(margins) >= 0


class Header(io.BytesIO):
    """A file of which only small pieces are read."""

    def read(self, count: int | None = -1) -> bytes:
        assert count is not None and 0 <= count <= 64
        return super().read(count)


@pytest.mark.slow
@given(
    st.sampled_from(["mkv", "mp4"]),
    st.lists(st.tuples(st.integers(0, 1500), st.binary(min_size=1, max_size=4))),
)
@settings(derandomize=True, deadline=None, max_examples=400)
def test_no_header_makes_it_fail_or_read_much(kind: str, edits: list[tuple[int, bytes]]) -> None:
    header = bytearray(_header(kind))
    for at, data in edits:
        header[at : at + len(data)] = data
    declared_margins(Header(header))


def test_an_element_may_claim_to_reach_past_its_parent() -> None:
    """A Video whose last child has no room for its number."""

    def element(name: str, content: bytes) -> bytes:
        return bytes.fromhex(name) + bytes([0x80 | len(content)]) + content

    video = element("e0", bytes.fromhex("ec8054aa"))  # what is cropped at the bottom, cut off
    tracks = element("1654ae6b", element("ae", element("83", b"\x01") + video))
    file = Header(element("1a45dfa3", b"") + element("18538067", tracks) + bytes(64))
    assert declared_margins(file) == [Margins()]


@cache
def _header(kind: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return make_video(Path(folder) / f"v.{kind}", 5, movie_options=FAST.get(kind)).read_bytes()


FAST = {"mp4": {"movflags": "faststart"}}
