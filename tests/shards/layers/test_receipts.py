"""Receipts of layers: when one lets a layer be skipped."""

from dataclasses import replace
from pathlib import Path

import pytest

from surgstream.shards.corpus.file import PackConfig
from surgstream.shards.corpus.layers import LayerConfig
from surgstream.shards.format.records import PackedVideo, Part, Shard
from surgstream.shards.layers.extract import FoundLayer, LayeredVideo
from surgstream.shards.layers.places import LayerPlace
from surgstream.shards.layers.shard import LayerReceipt, LayerTask, pack_layers_of
from surgstream.shards.storage.stores import open_storage

VIDEO = PackedVideo(
    id="a",
    source="a.mp4",
    parts=(Part(first_frame=0, num_frames=3),),
    first_row=0,
    fps=1.0,
    width=64,
    height=48,
)
PLACE = LayerPlace(kind="video", location="/in/a.mkv", version="1")
MASK = FoundLayer(place=PLACE, config=LayerConfig(path="/in/{video}.mkv"))


def task(
    found: FoundLayer | None = MASK, sha256: str = "0", index_sha256: str = "1", out: str = "/out"
) -> LayerTask:
    return LayerTask(
        shard=Shard(
            name="d/d-000000.tar",
            num_bytes=10240,
            sha256=sha256,
            index_sha256=index_sha256,
            dataset="d",
            specialty="s",
            procedure="p",
            videos=(VIDEO,),
        ),
        videos=(
            LayeredVideo(
                packed=VIDEO,
                location="/in/a.mp4",
                hidden=False,
                image_fps=None,
                images="*",
                still=False,
                crop=None,
                lost_start=False,
                layers={} if found is None else {"mask": found},
            ),
        ),
        layers={"mask": "classes"},
        options=PackConfig(),
        out=out,
    )


OTHERS = [
    task(sha256="2"),
    task(index_sha256="2"),
    task(None),
    task(replace(MASK, place=replace(PLACE, version="2"))),
    task(replace(MASK, config=replace(MASK.config, image_fps=1.0))),
    task(replace(MASK, config=replace(MASK.config, first=1))),
    replace(task(), layers={"mask": "depth"}),
]


@pytest.mark.parametrize("other", OTHERS)
def test_what_would_change_bytes_changes_the_fingerprint(other: LayerTask) -> None:
    assert other.fingerprint("mask") != task().fingerprint("mask")


def test_a_place_that_only_moves_does_not() -> None:
    moved = replace(PLACE, location="/elsewhere/a.mkv")
    config = replace(MASK.config, path="/elsewhere/{video}.mkv")
    there = task(FoundLayer(place=moved, config=config))
    assert there.fingerprint("mask") == task().fingerprint("mask")


@pytest.mark.parametrize("name", ["tar", "idx", "json"])
def test_a_receipt_needs_its_files(tmp_path: Path, name: str) -> None:
    """Of a video without the layer, which takes no source."""
    own = task(None, out=str(tmp_path))
    storage = open_storage(str(tmp_path))
    assert LayerReceipt.load(storage, own, "mask") is None

    packed = pack_layers_of(own, lambda frames, failed=0: None)["mask"]
    assert LayerReceipt.load(storage, own, "mask") == packed
    assert packed.layer.missing == ("a",) and packed.layer.num_pictures == 0
    for other in OTHERS:
        assert LayerReceipt.load(storage, other, "mask") is None or other == task(None)

    path = tmp_path / "d" / f"d-000000.mask.{name}"
    path.write_bytes(path.read_bytes()[:-1])
    assert LayerReceipt.load(storage, own, "mask") is None
    path.unlink()
    assert LayerReceipt.load(storage, own, "mask") is None
