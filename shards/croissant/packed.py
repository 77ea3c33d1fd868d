"""A packed corpus, as far as it is told to others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from surgstream.shards.corpus.file import PackConfig
from surgstream.shards.format.layers import LayerManifest
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.quarantine import Quarantined
from surgstream.shards.format.records import VideoReport


@dataclass(frozen=True, kw_only=True)
class PackedCorpus:
    """What packing knows of a corpus.

    Attributes:
        manifest: Its manifest.
        layers: The manifests of its layers.
        options: The options that it was packed by.
        licences: The licence of each dataset; None where none is stated.
        has_pseudonyms: Whether its videos have pseudonyms.
        readings: How its videos were read.
        quarantine: The videos that could not be packed.
    """

    manifest: Manifest
    layers: Sequence[LayerManifest]
    options: PackConfig
    licences: Mapping[str, str | None]
    has_pseudonyms: bool
    readings: Sequence[VideoReport]
    quarantine: Sequence[Quarantined]
