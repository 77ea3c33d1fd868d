"""Layers read back: of each frame its own picture, or None where it has none, or an error that names the file."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.shards.errors import CorruptSampleError, ManifestError, StorageError
from surgstream.shards.format.layers import LayerManifest
from surgstream.shards.format.manifest import ManifestFile
from surgstream.shards.reading import layers as module
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.layers import Layer, open_layer
from surgstream.shards.storage.stores import LocalStorage, S3Config, open_storage
from tests.helpers.faults import RandomFaults, fault_proxy
from tests.helpers.handmade import HEIGHT, LAYOUT, WIDTH, write_corpus
from tests.helpers.layers import write_layer
from tests.helpers.s3 import s3_bucket

FRAMES = [
    (dataset, video, frame)
    for dataset, shards in LAYOUT.items()
    for videos in shards
    for video, parts in videos.items()
    for first, count in parts
    for frame in range(first, first + count)
]


def drawn(dataset: str, video: str, frame: int) -> npt.NDArray[Any] | None:
    """A mask that belongs to this frame alone; every third frame has none."""
    if frame % 3 == 2:
        return None
    number = FRAMES.index((dataset, video, frame))
    picture = np.full((HEIGHT, WIDTH), number, np.uint8)
    picture[::2, number % 60 :] ^= 255
    return picture


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with masks, which tests leave as it is."""
    folder = tmp_path_factory.mktemp("masked")
    write_corpus(folder)
    write_layer(folder, "mask", drawn)
    return folder


def same(found: npt.NDArray[Any] | None, expected: npt.NDArray[Any] | None) -> bool:
    if found is None or expected is None:
        return found is expected
    return found.dtype == expected.dtype and np.array_equal(found, expected)


def all_right(layer: Layer) -> bool:
    """Compare all pictures, video by video."""
    for dataset, video in dict.fromkeys(key[:2] for key in FRAMES):
        frames = [key[2] for key in FRAMES if key[:2] == (dataset, video)]
        pictures = layer.pictures(dataset, video, frames)
        for frame, picture in zip(frames, pictures, strict=True):
            if not same(picture, drawn(dataset, video, frame)):
                return False
    return True


@given(data=st.data())
@settings(derandomize=True, deadline=None, max_examples=50)
def test_any_frames_in_any_order(masked: Path, data: st.DataObject) -> None:
    layer = open_layer(open_storage(str(masked)), "mask")
    dataset, video, _ = data.draw(st.sampled_from(FRAMES))
    own = [key[2] for key in FRAMES if key[:2] == (dataset, video)]
    frames = data.draw(st.lists(st.sampled_from(own), max_size=12))
    found = layer.pictures(dataset, video, frames)
    assert [same(f, drawn(dataset, video, n)) for f, n in zip(found, frames, strict=True)] == [
        True
    ] * len(frames)


def test_frames_of_a_table_have_their_pictures(masked: Path) -> None:
    """As training finds them: by clip, at a rate below the packed one too."""
    table = FrameTable.open(open_storage(str(masked)), fps=2.5)
    layer = open_layer(table.storage, "mask", table.sha256)
    for place in table.locate_all(["cataract"] * 30, range(30)):
        (picture,) = layer.pictures("cataract", place.video, [place.frame])
        assert same(picture, drawn("cataract", place.video, place.frame))


def test_depth_has_sixteen_bits(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    deep = np.full((HEIGHT, WIDTH), 54321, np.uint16)
    write_layer(tmp_path, "depth", lambda *_: deep)
    layer = open_layer(open_storage(str(tmp_path)), "depth")
    assert layer.manifest.values == "depth"
    assert all(same(picture, deep) for picture in layer.pictures("knee", "a", [0, 10]))


def test_what_is_not_packed_is_no_frame(masked: Path) -> None:
    layer = open_layer(open_storage(str(masked)), "mask")
    for frame in (-1, 5, 8, 39):
        with pytest.raises(IndexError, match=f"cataract/v1: expected a packed frame, got {frame}"):
            layer.pictures("cataract", "v1", [9, frame])
    with pytest.raises(IndexError, match="expected a video of the corpus, got 'a' of 'cataract'"):
        layer.pictures("cataract", "a", [0])


def test_a_dataset_without_the_layer_has_no_pictures(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    manifest = write_layer(tmp_path, "mask", drawn)
    own = tuple(shard for shard in manifest.shards if shard.shard.startswith("knee"))
    (tmp_path / "layer.mask.json").write_bytes(replace(manifest, shards=own).to_bytes())
    layer = open_layer(open_storage(str(tmp_path)), "mask")
    assert layer.has("knee") and not layer.has("cataract")
    assert layer.pictures("cataract", "v0", [0, 1]) == [None, None]
    assert same(layer.pictures("knee", "a", [1])[0], drawn("knee", "a", 1))


def test_a_layer_of_another_corpus_is_refused(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    manifest = write_layer(tmp_path, "mask", drawn)
    storage = open_storage(str(tmp_path))
    with pytest.raises(
        ManifestError, match=r"layer\.mask\.json: expected a layer of the corpus aaaaaaaaaaaa, got"
    ):
        open_layer(storage, "mask", "a" * 64)
    (tmp_path / "layer.mask.json").write_bytes(replace(manifest, corpus="b" * 64).to_bytes())
    with pytest.raises(
        ManifestError, match=r"got one of bbbbbbbbbbbb; run `surgstream pack` again"
    ):
        open_layer(storage, "mask")
    with pytest.raises(ManifestError, match=r"layer\.depth\.json is missing; .* \(mask there\)"):
        open_layer(storage, "depth")


def test_a_layer_of_other_rows_is_refused(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    manifest = write_layer(tmp_path, "mask", drawn)
    shards = (replace(manifest.shards[0], num_frames=41), *manifest.shards[1:])
    (tmp_path / "layer.mask.json").write_bytes(replace(manifest, shards=shards).to_bytes())
    with pytest.raises(ManifestError, match=r"cataract-000000\.tar: expected 40 rows, got 41"):
        open_layer(open_storage(str(tmp_path)), "mask")


class Counting(LocalStorage):
    """A folder that notes what is read of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, str(folder))
        self.reads: list[tuple[str, int]] = []

    def read_into(self, name: str, start: int, out: memoryview, stop: Any = None) -> None:
        self.reads.append((name, len(out)))
        super().read_into(name, start, out, stop)


def test_pictures_near_each_other_are_one_request(
    masked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Counting(masked)
    layer = open_layer(storage, "mask")
    layer.pictures("cataract", "v0", range(40))
    assert [name for name, _ in storage.reads] == [
        f"cataract/cataract-000000.mask.{kind}" for kind in ("idx", "tar")
    ]
    # The index is kept, and a frame without a picture costs nothing.
    storage.reads.clear()
    layer.pictures("cataract", "v0", [2, 5, 38])
    assert storage.reads == []

    monkeypatch.setattr(module, "GAP_BYTES", 0)
    layer.pictures("cataract", "v0", [0, 39])
    assert len(storage.reads) == 2
    monkeypatch.setattr(module, "GAP_BYTES", 2**20)
    monkeypatch.setattr(module, "RANGE_BYTES", 2000)
    storage.reads.clear()
    layer.pictures("cataract", "v0", range(40))
    assert len(storage.reads) > 5 and max(size for _, size in storage.reads) <= 2000


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "place", "reason"),
    [
        (
            "knee/knee-000000.mask.tar",
            600,
            r"knee-000000\.mask\.tar: video a, frame 0: expected CRC-32",
        ),
        ("knee/knee-000000.mask.idx", 4, r"knee-000000\.mask\.idx: SHA-256: expected"),
    ],
)
def test_damage_is_named(tmp_path: Path, name: str, place: int, reason: str) -> None:
    write_corpus(tmp_path)
    write_layer(tmp_path, "mask", drawn)
    layer = open_layer(open_storage(str(tmp_path)), "mask")
    flip(tmp_path / name, place)
    with pytest.raises(CorruptSampleError, match=reason):
        layer.pictures("knee", "a", [0, 1])


def test_an_index_that_leads_out_of_its_tar_is_refused(tmp_path: Path) -> None:
    """Although all checksums are right."""
    write_corpus(tmp_path)
    manifest = write_layer(tmp_path, "mask", drawn)
    shards = tuple(replace(shard, num_bytes=1024) for shard in manifest.shards)
    (tmp_path / "layer.mask.json").write_bytes(replace(manifest, shards=shards).to_bytes())
    layer = open_layer(open_storage(str(tmp_path)), "mask")
    with pytest.raises(
        CorruptSampleError, match="expected rows that follow each other in 1024 bytes"
    ):
        layer.pictures("knee", "a", [0])


def test_a_picture_of_another_size_than_its_frame_is_refused(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    write_layer(tmp_path, "mask", lambda *_: np.zeros((WIDTH, HEIGHT), np.uint8))
    layer = open_layer(open_storage(str(tmp_path)), "mask")
    with pytest.raises(
        CorruptSampleError, match="video a, frame 1: expected 64x48 pixels, got 48x64"
    ):
        layer.pictures("knee", "a", [1])


@pytest.mark.parametrize("name", ["knee/knee-000000.mask.tar", "knee/knee-000000.mask.idx"])
def test_a_file_that_is_gone_or_cut_is_named(tmp_path: Path, name: str) -> None:
    write_corpus(tmp_path)
    write_layer(tmp_path, "mask", drawn)
    os.truncate(tmp_path / name, 100)
    with pytest.raises(StorageError, match="it is cut short"):
        open_layer(open_storage(str(tmp_path)), "mask").pictures("knee", "a", [0])
    (tmp_path / name).unlink()
    with pytest.raises(StorageError, match=f"{Path(name).name} is missing"):
        open_layer(open_storage(str(tmp_path)), "mask").pictures("knee", "a", [0])


class Flipping(LocalStorage):
    """A folder of which some reads come back with a flipped bit."""

    def __init__(self, folder: Path, flips: Callable[[int], int | None]) -> None:
        super().__init__(folder, str(folder))
        self._flips = flips
        self.num_reads = 0

    def read_into(self, name: str, start: int, out: memoryview, stop: Any = None) -> None:
        super().read_into(name, start, out, stop)
        at = self._flips(self.num_reads)
        self.num_reads += 1
        if at is not None:
            out[at % len(out)] ^= 1


def test_a_bit_that_flips_on_the_way_is_read_again(masked: Path) -> None:
    storage = Flipping(masked, lambda number: 7 * number if number % 2 == 0 else None)
    assert all_right(open_layer(storage, "mask"))
    assert storage.num_reads > 8


@pytest.fixture
def faulty(masked: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, RandomFaults]]:
    """The corpus on S3, behind a network that resets, stalls, ends early and flips bits."""
    with s3_bucket("masked") as bucket:
        storage = open_storage(f"{bucket}/corpus")
        for path in masked.rglob("*.*"):
            storage.write(str(path.relative_to(masked)), path.read_bytes())
        faults = RandomFaults(seed=3)
        with fault_proxy(os.environ["AWS_ENDPOINT_URL"], faults) as proxy:
            monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
            yield f"{bucket}/corpus", faults


@pytest.mark.slow
def test_faults_of_a_store_change_no_picture(faulty: tuple[str, RandomFaults]) -> None:
    uri, faults = faulty
    storage = open_storage(uri, S3Config(read_timeout_seconds=0.5))
    for _ in range(12):
        assert all_right(open_layer(storage, "mask"))
    assert faults.num_met >= 3


def test_the_manifest_is_read_again_where_a_bit_flips(masked: Path) -> None:
    storage = open_storage(str(masked))
    whole = LayerManifest.load(storage, "mask")
    assert whole.corpus == ManifestFile.load(storage).sha256

    reads = []

    def read(name: str) -> bytes:
        data = bytearray(LocalStorage.read(storage, name))  # type: ignore[arg-type]
        if not reads:
            data[30] ^= 1
        reads.append(name)
        return bytes(data)

    storage.read = read  # type: ignore[method-assign]
    assert LayerManifest.load(storage, "mask") == whole and len(reads) == 2
