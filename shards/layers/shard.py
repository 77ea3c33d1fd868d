"""Pack the layers of one shard, and keep the receipts that let a later run skip them."""

import hashlib
import zlib
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build, to_tree
from surgstream.shards.corpus.file import PackConfig
from surgstream.shards.corpus.layers import Values
from surgstream.shards.errors import ManifestError
from surgstream.shards.format import index
from surgstream.shards.format.checksummed import digest, dump_checksummed, load_checksummed
from surgstream.shards.format.index import ROW
from surgstream.shards.format.layers import LayerShard
from surgstream.shards.format.names import (
    LAYER_VERSION,
    index_name,
    layer_member,
    layer_shard_name,
    receipt_name,
    segment_key,
)
from surgstream.shards.format.quarantine import Quarantined, quarantined
from surgstream.shards.format.records import PackedVideo, Shard, segments
from surgstream.shards.format.tar import TarWriter
from surgstream.shards.layers.extract import LayeredVideo, Taken, take_layers
from surgstream.shards.storage.stores import Storage, Stores, open_storage
from surgstream.shards.video.picture import software
from surgstream.shards.workers import ProgressCallback


@dataclass(frozen=True, kw_only=True)
class LayerReceipt:
    """The outcome of packing a layer of a shard."""

    fingerprint: str
    layer: LayerShard
    quarantine: tuple[Quarantined, ...]
    software: dict[str, str]

    @staticmethod
    def load(storage: Storage, task: "LayerTask", layer: str) -> "LayerReceipt | None":
        """Load the receipt of a layer of a shard; None unless it was packed of these sources and its files are there.

        Raises:
            StorageError: The store fails.
        """
        tar = layer_shard_name(task.shard.name, layer)
        name = receipt_name(tar)
        if storage.size(name) is None:
            return None

        try:
            receipt = LayerReceipt.parse(storage.read(name), where=name)
        except (ManifestError, ConfigError):
            return None
        if receipt.fingerprint != task.fingerprint(layer):
            return None

        # The receipt was written last, so sizes are enough to see what was lost since.
        whole = (
            receipt.layer.shard == task.shard.name
            and storage.size(tar) == receipt.layer.num_bytes
            and storage.size(index_name(tar)) == receipt.layer.num_frames * ROW.itemsize
        )
        return receipt if whole else None

    @staticmethod
    def parse(data: bytes, *, where: str) -> "LayerReceipt":
        """Read the bytes of a receipt; `where` is the file's name in messages.

        Raises:
            ManifestError: The bytes are damaged.
            ConfigError: They are those of something else.
        """
        return build(LayerReceipt, load_checksummed(data, where=where), where=where)


@dataclass(frozen=True, kw_only=True)
class LayerTask:
    """A shard of frames whose layers are to be packed.

    Attributes:
        shard: The shard, as it was packed.
        videos: Its videos, in order.
        layers: The layers, and what each holds.
        options: The options that the frames were packed by.
        out: Address of the corpus.
        threads: Number of threads that decode.
    """

    shard: Shard
    videos: tuple[LayeredVideo, ...]
    layers: dict[str, Values]
    options: PackConfig
    out: str
    threads: int = 1

    def fingerprint(self, layer: str) -> str:
        """Compute a digest that changes when the bytes of a layer would, and not when its sources only move.

        The checksums of the frames stand for how they were cut and scaled.
        """
        sources = []
        for video in self.videos:
            found = video.layers.get(layer)
            settings = None
            if found is not None:
                settings = {**to_tree(found.config), "path": None, "version": found.place.version}
            sources.append([video.id, settings])

        return digest(
            {
                "layer_version": LAYER_VERSION,
                "layer": layer,
                "values": self.layers[layer],
                "shard": [self.shard.name, self.shard.sha256, self.shard.index_sha256],
                "segment_frames": self.options.segment_frames,
                "sources": sources,
            }
        )


def pack_layers_of(task: LayerTask, progress: ProgressCallback) -> dict[str, LayerReceipt]:
    """Take the layers of a shard's videos, and publish for each its tar, its index and its receipt, in this order.

    Args:
        task: The shard.
        progress: Called after every video with its number of frames.

    Returns:
        The receipts, as published, by layer.

    Raises:
        LayerError: A layer is not one of its video, or its values are not such as it can have.
        StorageError: A store fails. Damage of a layer goes into its receipt's quarantine instead.
    """
    storage = open_storage(task.out)
    stores = Stores()

    with ExitStack() as stack:
        packings = {}
        for name in task.layers:
            sink = stack.enter_context(storage.writer(layer_shard_name(task.shard.name, name)))
            packings[name] = _LayerPacking(task, name, TarWriter(sink))

        for video in task.videos:
            there = [name for name in task.layers if name in video.layers]
            if there:
                with take_layers(video, there, task.options, stores, task.threads) as taken:
                    for name, packing in packings.items():
                        packing.add(video, taken.get(name))
            else:
                for packing in packings.values():
                    packing.add(video, None)
            progress(video.packed.num_frames)

        for packing in packings.values():
            packing.tar.close()

    return {name: packing.publish(storage) for name, packing in packings.items()}


class _LayerPacking:
    """A layer of a shard while it is packed."""

    def __init__(self, task: LayerTask, name: str, tar: TarWriter) -> None:
        self.tar = tar
        self._task = task
        self._name = name
        self._rows: list[tuple[int, int, int]] = []
        self._quarantine: list[Quarantined] = []
        self._missing: list[str] = []

    def add(self, video: LayeredVideo, taken: Taken | None) -> None:
        """Append the pictures of a video, and a row for each of its frames; None stands for a layer that is not there.

        Raises:
            StorageError: A store fails.
        """
        if taken is None:
            self._missing.append(video.id)
        elif taken.error is not None:
            found = quarantined(self._task.shard.dataset, video, taken.error)
            self._quarantine.append(found)

        for member, frame in members(video.packed, self._task.options.segment_frames):
            png = b"" if taken is None else taken.png(frame)
            self._add(member, png)

    def _add(self, member: str, png: bytes) -> None:
        if not png:
            # Where it would begin, so that offsets grow.
            self._rows.append((self.tar.num_bytes, 0, 0))
            return
        offset = self.tar.add(member, png)
        self._rows.append((offset, len(png), zlib.crc32(png)))

    def publish(self, storage: Storage) -> LayerReceipt:
        """Write the index of the published tar, and the receipt."""
        tar = layer_shard_name(self._task.shard.name, self._name)
        data = index.to_bytes(np.array(self._rows, dtype=ROW))
        storage.write(index_name(tar), data)

        receipt = LayerReceipt(
            fingerprint=self._task.fingerprint(self._name),
            layer=LayerShard(
                shard=self._task.shard.name,
                num_bytes=self.tar.num_bytes,
                sha256=self.tar.sha256,
                index_sha256=hashlib.sha256(data).hexdigest(),
                num_frames=len(self._rows),
                num_pictures=sum(size > 0 for _, size, _ in self._rows),
                num_videos=len(self._task.videos),
                missing=tuple(self._missing),
            ),
            quarantine=tuple(self._quarantine),
            software=software(),
        )
        # Comes last: a layer without its receipt is packed again.
        storage.write(receipt_name(tar), dump_checksummed(to_tree(receipt)))
        return receipt


def members(video: PackedVideo, segment_frames: int) -> list[tuple[str, int]]:
    """The members of a layer's tar that the frames of a video have, and the numbers of these frames, in order."""
    found = []
    for number, segment in enumerate(segments(video.parts, segment_frames)):
        key = segment_key(video.id, number)
        for position in range(segment.num_frames):
            found.append((layer_member(key, position), segment.first_frame + position))
    return found
