"""Layers of a corpus: pictures of its frames' dense labels, in shards of their own beside those of the frames.

`DATASET-000123.mask.tar` and its index `.mask.idx` have the rows of `DATASET-000123.idx`: row r is the picture of frame
r, of 0 bytes where there is none. Pictures are gray PNGs of the frame's size. Those of classes have 8 bits, the number
of the class; those of depth 16, hundredths of a millimetre, and 0 where nothing is known. `layer.mask.json` lists the
shards of a layer and names the corpus that it belongs to. It is written last.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build, to_tree
from surgstream.shards.errors import ManifestError
from surgstream.shards.format.checksummed import dump_checksummed, load_checksummed
from surgstream.shards.format.names import (
    LAYER_VERSION,
    index_name,
    is_layer,
    is_shard_name,
    layer_manifest_name,
    layer_of_manifest,
    layer_shard_name,
)
from surgstream.shards.format.quarantine import Quarantined
from surgstream.shards.format.records import Shard
from surgstream.shards.storage.stores import Storage

BITS = {"classes": 8, "depth": 16}
"""Bits of a pixel, by what the pictures hold."""

STEPS_PER_MILLIMETRE = 100
"""Values of a millimetre in pictures of depth."""

_LARGEST = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class LayerShard:
    """The pictures of a layer for the frames of one shard.

    Attributes:
        shard: Name of the tar of the frames.
        num_bytes: Length of the tar of pictures.
        sha256: SHA-256 of it.
        index_sha256: SHA-256 of its index.
        num_frames: Rows of the index, one a frame.
        num_pictures: Frames that have a picture.
        num_videos: Videos of the shard.
        missing: The ids of those that have no layer.
    """

    shard: str
    num_bytes: int
    sha256: str
    index_sha256: str
    num_frames: int
    num_pictures: int
    num_videos: int
    missing: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LayerManifest:
    """All shards of a layer, sorted by name; datasets without the layer have none.

    Attributes:
        format_version: The version of this format.
        layer: Its name.
        corpus: SHA-256 of the manifest of the corpus.
        values: What the pictures hold.
        shards: Its shards.
        quarantine: Videos whose layer is damaged, and so has no pictures here.
        software: Versions of the libraries that wrote it.
    """

    format_version: int
    layer: str
    corpus: str
    values: Literal["classes", "depth"]
    shards: tuple[LayerShard, ...]
    quarantine: tuple[Quarantined, ...]
    software: dict[str, str]

    @property
    def bits(self) -> int:
        """Bits of a pixel."""
        return BITS[self.values]

    def tar_name(self, shard: LayerShard) -> str:
        """The name of the tar with the pictures of a shard."""
        return layer_shard_name(shard.shard, self.layer)

    def index_name(self, shard: LayerShard) -> str:
        """The name of the index of that tar."""
        return index_name(self.tar_name(shard))

    def to_bytes(self) -> bytes:
        """The manifest's file."""
        return dump_checksummed(to_tree(self))

    def told(self) -> str:
        """Format a line about the pictures and videos that it has, and those that it has not."""
        num_frames = sum(shard.num_frames for shard in self.shards)
        num_pictures = sum(shard.num_pictures for shard in self.shards)
        num_videos = sum(shard.num_videos for shard in self.shards)
        missing: list[str] = []
        for shard in self.shards:
            dataset = shard.shard.partition("/")[0]
            missing += [f"{dataset}/{video}" for video in shard.missing]
        megabytes = sum(shard.num_bytes for shard in self.shards) / 1e6

        line = f"layer {self.layer}: {num_pictures} pictures of {num_frames} frames, "
        line += f"{megabytes:.1f} MB, {values_told(self.values)}; "
        line += f"{len(missing)} of {num_videos} videos have none"
        if missing:
            line += f", such as {missing[0]}"
        if self.quarantine:
            first = self.quarantine[0]
            line += f"; damaged: {len(self.quarantine)}, such as {first.dataset}/{first.video}"
        return line

    def mismatches(self, shards: Mapping[str, Shard]) -> Iterator[str]:
        """Compare with the shards of the corpus, by name; yields each that differs, in words."""
        for own in self.shards:
            frames = shards.get(own.shard)
            if frames is None:
                yield f"lists {own.shard}, which the corpus does not have"
            elif own.num_frames != frames.num_frames:
                yield f"{own.shard}: expected {frames.num_frames} rows, got {own.num_frames}"

    @staticmethod
    def load(storage: Storage, layer: str) -> "LayerManifest":
        """Read and check the manifest of a layer.

        Raises:
            ManifestError: It is missing, damaged or of another format version.
            StorageError: The store cannot be read.
        """
        name = layer_manifest_name(layer)
        where = f"{storage.uri}: {name}"
        if storage.size(name) is None:
            known = ", ".join(find_layers(storage)) or "none"
            raise ManifestError(
                f"{where} is missing; expected a layer of the corpus ({known} there): name it "
                "under `layers` in the corpus file, and run `surgstream pack` again"
            )
        try:
            return LayerManifest.parse(storage.read(name), layer, where=where)
        except ManifestError:
            # A bit may have flipped on the way.
            return LayerManifest.parse(storage.read(name), layer, where=where)

    @staticmethod
    def parse(data: bytes, layer: str, *, where: str) -> "LayerManifest":
        """Read the bytes of the manifest of a layer.

        Args:
            data: The whole file.
            layer: The name of the layer.
            where: The file's name in messages.

        Raises:
            ManifestError: The bytes are damaged, of another layer or version, or make no sense.
        """
        tree = load_checksummed(data, where=where)
        if tree.get("format_version") != LAYER_VERSION or tree.get("layer") != layer:
            raise ManifestError(
                f"{where}: expected the layer {layer!r} in format version {LAYER_VERSION}, got "
                "another; pack it again"
            )
        try:
            manifest = build(LayerManifest, tree, where=where)
        except ConfigError as error:
            raise ManifestError(str(error)) from None

        for problem in _problems(manifest):
            raise ManifestError(f"{where}: {problem}; pack it again")
        return manifest


def values_told(values: str) -> str:
    """Say what the pictures of a layer hold."""
    if values == "depth":
        return f"distances in 1/{STEPS_PER_MILLIMETRE} mm"
    return "numbers of classes"


def _problems(manifest: LayerManifest) -> Iterator[str]:
    """Yield what is wrong beyond the types: names are opened as files, and sizes are added up."""
    if not is_layer(manifest.layer):
        yield f"expected the name of a layer, got {manifest.layer!r}"

    names = [shard.shard for shard in manifest.shards]
    for name in names:
        if not is_shard_name(name):
            yield f"expected a shard DATASET/DATASET-000000.tar, got {name!r}"
    if names != sorted(set(names)):
        yield "expected shards sorted by name, each once"
    if sum(max(0, shard.num_bytes) for shard in manifest.shards) > _LARGEST:
        yield "expected less than 2^63 bytes in all shards"

    for shard in manifest.shards:
        counts_fit = 0 <= shard.num_pictures <= shard.num_frames <= _LARGEST
        videos_fit = len(shard.missing) <= shard.num_videos <= _LARGEST
        if not counts_fit or not videos_fit or shard.num_bytes < 0:
            yield f"{shard.shard}: expected counts that fit each other"


def find_layers(storage: Storage) -> list[str]:
    """The layers of a corpus that have a manifest, sorted.

    Raises:
        StorageError: The store cannot be listed.
    """
    found = map(layer_of_manifest, storage.sizes())
    return sorted(layer for layer in found if layer is not None)
