"""Whatever the files of a layer hold, reading it gives the pictures that were packed, or an error that names a file."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.errors import ManifestError, ShardError
from surgstream.shards.format.index import ROW
from surgstream.shards.format.layers import LayerManifest
from surgstream.shards.format.manifest import ManifestFile
from surgstream.shards.format.names import is_shard_name
from surgstream.shards.layers.checks import check_layer, load_layers
from surgstream.shards.layers.shard import LayerReceipt
from surgstream.shards.reading.layers import open_layer
from surgstream.shards.storage.stores import open_storage
from tests.fuzz.damage import NUMBERS, cases, damaged, records, replaced
from tests.helpers.handmade import HEIGHT, SEGMENT_FRAMES, WIDTH, write_corpus
from tests.helpers.layers import write_layer

LAYOUT = {"d": [{"a": [(0, 6), (9, 3)], "b": [(1, 4)]}], "e": [{"c": [(0, 5)]}]}
TAR, INDEX = "d/d-000000.mask.tar", "d/d-000000.mask.idx"
FRAMES = {("d", "a"): [*range(6), 9, 10, 11], ("d", "b"): [1, 2, 3, 4], ("e", "c"): [*range(5)]}


def drawn(dataset: str, video: str, frame: int) -> Any:
    if frame % 4 == 1:
        return None
    return np.full((HEIGHT, WIDTH), 16 * ord(video) % 250 + frame, np.uint8)


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzzed_layer")
    write_corpus(folder, LAYOUT)
    write_layer(folder, "mask", drawn)
    return folder


@pytest.fixture
def copy(masked: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(masked, tmp_path / "copy"))


def names_the_layer(message: str) -> None:
    assert (
        ".mask." in message
        and len(message) < 3000
        and "\n  " not in message.partition("mistake(s)")[0]
    )


def read(corpus: Path, *, trusted: bool = True) -> None:
    """Read all pictures: each is the frame's own, unless somebody has sealed others with the right checksums."""
    try:
        layer = open_layer(open_storage(str(corpus)), "mask")
        for (dataset, video), frames in FRAMES.items():
            for frame, picture in zip(frames, layer.pictures(dataset, video, frames), strict=True):
                expected = drawn(dataset, video, frame)
                if trusted:
                    assert (picture is None) == (expected is None)
                    assert picture is None or (picture == expected).all()
                else:
                    assert picture is None or picture.shape == (HEIGHT, WIDTH)
    except ShardError as error:
        names_the_layer(str(error))


def check(corpus: Path) -> None:
    """Verify the layer, without processes."""
    storage = open_storage(str(corpus))
    file = ManifestFile.load(storage)
    shards = {shard.name: shard for shard in file.shards()}
    found: list[LayerManifest] = []
    try:
        for finding in load_layers(storage, file.sha256, shards, found):
            assert ".mask." in finding, finding
        for layer in found:
            for own in layer.shards:
                for finding in check_layer(
                    layer, own, shards[own.shard], SEGMENT_FRAMES, storage, lambda frames: None
                ):
                    assert ".mask." in finding, finding
    except ShardError as error:
        names_the_layer(str(error))


def test_the_corpus_is_sound(masked: Path) -> None:
    read(masked)
    storage = open_storage(str(masked))
    file = ManifestFile.load(storage)
    shards = {shard.name: shard for shard in file.shards()}
    found: list[LayerManifest] = []
    assert [*load_layers(storage, file.sha256, shards, found)] == []
    for own in found[0].shards:
        assert [
            *check_layer(
                found[0], own, shards[own.shard], SEGMENT_FRAMES, storage, lambda frames: None
            )
        ] == []


@given(st.data())
@cases(200)
def test_damaged_files(masked: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(masked.rglob("*.mask.*"))))
    with replaced(path, data.draw(damaged(path.read_bytes()))):
        read(masked)
        check(masked)


@given(st.data())
@cases(200)
def test_manifests(masked: Path, data: st.DataObject) -> None:
    content = data.draw(records((masked / "layer.mask.json").read_bytes()))
    try:
        manifest = LayerManifest.parse(content, "mask", where="here")
    except ManifestError as error:
        assert "here" in str(error)
        return
    assert all(is_shard_name(shard.shard) for shard in manifest.shards)
    assert sum(shard.num_bytes for shard in manifest.shards) < 2**63
    with replaced(masked / "layer.mask.json", content):
        read(masked, trusted=False)
        check(masked)


@given(st.data())
@cases(100)
def test_indexes(masked: Path, copy: Path, data: st.DataObject) -> None:
    """Rows of any numbers, with the right checksums: nothing outside of the tar is read, and nothing else happens."""
    rows = np.frombuffer((masked / INDEX).read_bytes(), ROW).copy()
    whole = [number for number in NUMBERS if type(number) is int]
    for _ in range(data.draw(st.integers(1, 4))):
        field = data.draw(st.sampled_from(rows.dtype.names))
        row = data.draw(st.integers(0, len(rows) - 1))
        old = int(rows[field][row])
        near = st.integers(-600, 600).map(lambda by, old=old: old + by)
        new = data.draw(st.sampled_from(whole) | near)
        rows[field][row] = min(max(new, 0), np.iinfo(rows.dtype[field]).max)

    storage = open_storage(str(copy))
    manifest = LayerManifest.parse((masked / "layer.mask.json").read_bytes(), "mask", where="")
    first = replace(
        manifest.shards[0],
        index_sha256=hashlib.sha256(rows.tobytes()).hexdigest(),
        num_pictures=int((rows["size"] > 0).sum()),
    )
    (copy / INDEX).write_bytes(rows.tobytes())
    (copy / "layer.mask.json").write_bytes(
        replace(manifest, shards=(first, *manifest.shards[1:])).to_bytes()
    )
    assert LayerManifest.load(storage, "mask").shards[0] == first
    read(copy, trusted=False)
    check(copy)


@given(st.data())
@cases(100)
def test_receipts(masked: Path, data: st.DataObject) -> None:
    whole = b'{"checksum":"","fingerprint":"f","layer":{},"quarantine":[],"software":{}}\n'
    content = data.draw(records(whole))
    try:
        receipt = LayerReceipt.parse(content, where="here")
    except Exception as error:
        assert isinstance(error, ShardError) or "here" in str(error)
    else:
        assert isinstance(receipt.fingerprint, str)
