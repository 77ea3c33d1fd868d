"""Whatever stands in a file of predicted pictures: an error that names the file, or pictures of the declared sizes."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.format.png import to_png
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.metrics.samples import LabelSpace
from surgstream.trainer.evaluation.predictions.maps import MAX_SIDE, PredictedMaps, read_maps
from tests.fuzz.damage import NUMBERS, cases, damaged

Arrays = dict[str, npt.NDArray[Any]]

SPACES = {
    "mask": LabelSpace(kind="mask", classes=("polyp",)),
    "classes": LabelSpace(kind="mask", classes=("hook", "snare", "clip")),
    "depth": LabelSpace(kind="depth"),
}
SIZE = (7, 5)
NUM_PICTURES = 3


def picture(kind: str, number: int) -> npt.NDArray[Any]:
    """What is stored of a row, (H, W)."""
    values = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE[::-1]) + number
    if kind == "depth":
        return (300 * values).astype(np.uint16)
    return (values % (4 if kind == "classes" else 256)).astype(np.uint8)


def arrays(kind: str) -> Arrays:
    """The arrays of a file of three pictures of two videos, as ours has them."""
    pngs = [to_png(picture(kind, number)) for number in range(NUM_PICTURES)]
    return {
        "videos": np.array(["v", "w"]),
        "video": np.array([0, 0, 1]),
        "second": np.array([0.0, 1.0, 0.5]),
        "classes": np.array(SPACES[kind].classes, np.str_),
        "about": np.array("{}"),
        "predicted": np.arange(NUM_PICTURES),
        "sizes": np.array([SIZE] * NUM_PICTURES),
        "lengths": np.array([len(png) for png in pngs]),
        "pngs": np.frombuffer(b"".join(pngs), np.uint8),
    }


def archive(content: Arrays) -> bytes:
    """An .npz file, compressed as ours are."""
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **content)
    return file.getvalue()


def with_png(kind: str, png: bytes) -> bytes:
    """A file whose second picture is another PNG, and whose lengths are right."""
    content = arrays(kind)
    ends = np.cumsum(content["lengths"])
    before = content["pngs"][: ends[0]]
    after = content["pngs"][ends[1] :]
    content["pngs"] = np.concatenate([before, np.frombuffer(png, np.uint8), after])
    content["lengths"][1] = len(png)
    return archive(content)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bomb(size: tuple[int, int], bits: int = 8) -> bytes:
    """A PNG of some KB that has, or says that it has, as many pixels as it likes."""
    header = struct.pack(">IIBBBBB", *size, bits, 0, 0, 0, 0)
    nothing = zlib.compress(bytes(2**24), 9)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), *[chunk(b"IDAT", nothing)] * 8, chunk(b"IEND", b"")]
    )


def read(path: Path, kind: str, *, trusted: bool = False) -> None:
    """Read all pictures: each is what was stored if the file is trusted, else one of its size with possible values."""
    try:
        maps = read_maps(path)
    except EvaluationError as error:
        said(error)
        return
    assert len(maps.pngs) == len(maps.sizes)
    for number in range(len(maps.pngs)):
        found = decoded(maps, number, kind)
        if found is None:
            continue
        width, height = maps.sizes[number]
        assert found.shape == (height, width) and width <= MAX_SIDE and height <= MAX_SIDE
        assert np.isfinite(found).all() and found.min() >= 0
        if kind == "classes":
            assert found.max() <= len(SPACES[kind].classes)
        if trusted:
            scale = {"mask": 255, "classes": 1, "depth": 100}[kind]
            assert np.array_equal(found * scale, picture(kind, number))


def decoded(maps: PredictedMaps, number: int, kind: str) -> npt.NDArray[Any] | None:
    try:
        return maps.read(number, SPACES[kind])
    except EvaluationError as error:
        said(error)
        return None


def said(error: EvaluationError) -> None:
    assert "p.npz" in str(error) and len(str(error)) < 3000


@pytest.mark.parametrize("kind", SPACES)
def test_the_file_is_sound(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    path.write_bytes(archive(arrays(kind)))
    maps = read_maps(path)
    assert [decoded(maps, number, kind) is not None for number in range(NUM_PICTURES)] == [True] * 3
    read(path, kind, trusted=True)


@given(st.data(), st.sampled_from([*SPACES]))
@cases(200)
def test_damaged_files(tmp_path: Path, data: st.DataObject, kind: str) -> None:
    """An archive has checksums: what can be read at all is what was stored."""
    path = tmp_path / "p.npz"
    path.write_bytes(data.draw(damaged(archive(arrays(kind)))))
    read(path, kind)


@given(st.data(), st.sampled_from([*SPACES]))
@cases(200)
def test_damaged_pngs(tmp_path: Path, data: st.DataObject, kind: str) -> None:
    """In an archive that is sound, as is the number of bytes."""
    path = tmp_path / "p.npz"
    path.write_bytes(with_png(kind, data.draw(damaged(to_png(picture(kind, 1))))))
    read(path, kind)


@given(st.data(), st.sampled_from([*SPACES]))
@cases(200)
def test_numbers_of_any_kind(tmp_path: Path, data: st.DataObject, kind: str) -> None:
    """Arrays of other numbers, other types, other shapes, or not there at all."""
    content = arrays(kind)
    whole = [number for number in NUMBERS if type(number) is int and abs(number) < 2**63]
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(content)))
        match data.draw(st.sampled_from(["delete", "number", "nudge", "type", "shape", "longer"])):
            case "delete" if len(content) > 1:
                del content[name]
            case "number":
                number = data.draw(st.sampled_from([*whole, *map(float, ("nan", "inf", "-1"))]))
                content[name] = np.full(content[name].shape, number)
            case "nudge" if content[name].dtype.kind == "i" and content[name].size:
                content[name] = content[name].copy()
                at = data.draw(st.integers(0, content[name].size - 1))
                content[name].flat[at] += data.draw(st.sampled_from([-1, 1, 2**32, -(2**40)]))
            case "type":
                kinds = ["U3", "f2", "u1", "u8", "i8", "c16", "b", "S2"]
                content[name] = np.zeros(content[name].shape, data.draw(st.sampled_from(kinds)))
            case "shape":
                content[name] = content[name].reshape(-1, 1)[: data.draw(st.integers(0, 4))]
            case _:
                content[name] = np.concatenate([content[name].ravel()] * 2)

    path = tmp_path / "p.npz"
    path.write_bytes(archive(content))
    read(path, kind)


@pytest.mark.parametrize("kind", SPACES)
@pytest.mark.parametrize(
    "size", [SIZE, (1, 1), (MAX_SIDE, MAX_SIDE), (2**16, 2**16), (2**31 - 1, 2**31 - 1)]
)
def test_a_picture_takes_no_more_memory_than_its_row_says(
    kind: str, size: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / "p.npz"
    path.write_bytes(with_png(kind, bomb(size, 16 if kind == "depth" else 8)))
    maps = read_maps(path)
    found = decoded(maps, 1, kind)
    assert (found is not None) == (size == SIZE)
    assert found is None or found.shape == SIZE[::-1]
