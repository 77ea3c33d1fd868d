"""The end of packing layers: a manifest for each, which makes it readable, and what is told of it."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable

from surgstream.shards.corpus.file import CorpusConfig
from surgstream.shards.corpus.layers import Values, values_of
from surgstream.shards.format.layers import LayerManifest
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.names import LAYER_VERSION, layer_manifest_name
from surgstream.shards.format.quarantine import Quarantined
from surgstream.shards.layers.shard import LayerReceipt
from surgstream.shards.layers.work import LayerReceipts
from surgstream.shards.storage.stores import Storage


def publish_layers(
    storage: Storage, receipts: LayerReceipts, corpus: CorpusConfig, manifest: Manifest
) -> tuple[LayerManifest, ...]:
    """Write the manifests of all layers.

    Args:
        storage: The corpus.
        receipts: The receipts of all layers of all of its shards.
        corpus: The corpus file.
        manifest: The manifest of the corpus, as it was published.

    Returns:
        The manifests, by name of the layer.

    Raises:
        StorageError: The store fails.
    """
    values = values_of({dataset.name: dataset.layers for dataset in corpus.datasets})
    sha256 = hashlib.sha256(manifest.to_bytes()).hexdigest()
    by_layer: dict[str, list[LayerReceipt]] = defaultdict(list)
    for (_, layer), receipt in sorted(receipts.items(), key=lambda item: item[0]):
        by_layer[layer].append(receipt)

    manifests = []
    for layer in sorted(by_layer):
        found = _manifest(layer, by_layer[layer], values[layer], sha256)
        name = layer_manifest_name(layer)
        data = found.to_bytes()
        if storage.size(name) != len(data) or storage.read(name) != data:
            storage.write(name, data)
        manifests.append(found)
    return tuple(manifests)


def _manifest(
    layer: str, receipts: Iterable[LayerReceipt], values: Values, corpus: str
) -> LayerManifest:
    shards = []
    quarantine: list[Quarantined] = []
    software: dict[str, set[str]] = defaultdict(set)
    for receipt in receipts:
        shards.append(receipt.layer)
        quarantine += receipt.quarantine
        for library, version in receipt.software.items():
            software[library].add(version)

    return LayerManifest(
        format_version=LAYER_VERSION,
        layer=layer,
        corpus=corpus,
        values=values,
        shards=tuple(shards),
        quarantine=tuple(quarantine),
        software={library: ", ".join(sorted(software[library])) for library in sorted(software)},
    )
