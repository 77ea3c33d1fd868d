"""The layers of a corpus: what is missing is packed beside its shards, what is no longer asked for is removed."""

import logging
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from surgstream.configs.errors import ConfigError
from surgstream.shards.corpus.file import CorpusConfig
from surgstream.shards.corpus.layers import Values, values_of
from surgstream.shards.corpus.sources import Source
from surgstream.shards.errors import ManifestError
from surgstream.shards.format.layers import LayerManifest
from surgstream.shards.format.names import (
    layer_manifest_name,
    layer_of_file,
    layer_of_manifest,
)
from surgstream.shards.format.records import Shard, VideoReport
from surgstream.shards.layers.extract import FoundLayer, LayeredVideo
from surgstream.shards.layers.pictures import check_layers
from surgstream.shards.layers.places import find_place
from surgstream.shards.layers.shard import LayerReceipt, LayerTask, pack_layers_of
from surgstream.shards.storage.owner import Owner
from surgstream.shards.storage.stores import Storage, Stores
from surgstream.shards.workers import cores, run_all

log = logging.getLogger(__name__)

IN_FLIGHT = 16
"""Layers that are looked for, and receipts that are read, at a time."""

MAX_THREADS = 16
"""Decoding threads of one video, where there are more cores than shards."""

LayerReceipts = dict[tuple[str, str], LayerReceipt]
"""Receipts by the names of shard and layer."""

_Known = dict[tuple[str, str], LayerReceipt | None]
"""The same; None where a layer is still to be packed."""


@dataclass(frozen=True)
class PackedShard:
    """A shard that was packed, and the reports on its videos."""

    shard: Shard
    readings: tuple[VideoReport, ...]


def check_sources(sources: Iterable[Source]) -> None:
    """Check each layer of each dataset by one of its pictures; see `check_layers`."""
    check_layers(((source.dataset, source.layers) for source in sources), Stores())


def withdraw_layers(
    corpus: CorpusConfig, sources: Sequence[Source], packed: Iterable[PackedShard], storage: Storage
) -> None:
    """Delete the layers that are no longer asked for, and the manifests where some are to change.

    Those of shards of frames that are to be packed again are deleted as well: they show what a video that is removed
    showed.

    Args:
        corpus: The corpus file.
        sources: Its videos.
        packed: The shards that are there and stay as they are.
        storage: The corpus.

    Raises:
        StorageError: A store fails.
    """
    receipts = _receipts(storage, _plan(corpus, sources, packed, storage))
    _withdraw(storage, receipts.keys(), stale=None in receipts.values())


def pack_layers(
    corpus: CorpusConfig,
    sources: Sequence[Source],
    packed: Iterable[PackedShard],
    storage: Storage,
    owner: Owner,
) -> LayerReceipts:
    """Pack the layers of some shards that are not packed yet.

    Args:
        corpus: The corpus file.
        sources: Its videos.
        packed: The shards.
        storage: The corpus.
        owner: Who owns it; as soon as it is another process, this one stops.

    Returns:
        The receipts of all layers of these shards.

    Raises:
        ConfigError: A published manifest lists a layer that is to be packed: `withdraw_layers` must withdraw it first.
        LayerError: A layer is not one of its video, or its values are not such as it can have.
        ShardError: A store fails, or a worker is killed.
    """
    tasks = _plan(corpus, sources, packed, storage)
    receipts = _receipts(storage, tasks)
    _check_unpublished(storage, [key for key, receipt in receipts.items() if receipt is None])
    done = _pack_missing(storage, owner, tasks, receipts, corpus.pack.workers)
    return {key: receipt for key, receipt in done.items() if receipt is not None}


def _check_unpublished(storage: Storage, missing: Collection[tuple[str, str]]) -> None:
    """Refuse to pack what the manifest of a layer lists."""
    for layer in sorted({layer for _, layer in missing}):
        if storage.size(layer_manifest_name(layer)) is None:
            continue
        listed = {shard.shard for shard in LayerManifest.load(storage, layer).shards}
        again = sorted(shard for shard, name in missing if name == layer and shard in listed)
        if again:
            raise ConfigError(
                f"{storage.uri}: expected layers that nobody reads yet, got {len(again)} shards of "
                f"a published {layer}, such as {again[0]}, to pack again; run with --plan-only first"
            )


def _plan(
    corpus: CorpusConfig,
    sources: Iterable[Source],
    packed: Iterable[PackedShard],
    storage: Storage,
) -> list[LayerTask]:
    """Find the layers of the videos of some shards.

    Args:
        corpus: The corpus file.
        sources: Its videos.
        packed: The shards.
        storage: The corpus.

    Returns:
        A task for each shard of a dataset that has layers.

    Raises:
        StorageError: A store fails.
    """
    values = values_of({dataset.name: dataset.layers for dataset in corpus.datasets})
    names = {dataset.name: sorted(dataset.layers) for dataset in corpus.datasets}
    by_id = {(source.dataset, source.id): source for source in sources}
    stores = Stores()

    wanted = [each for each in packed if names.get(each.shard.dataset)]
    tasks = []
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        for each in wanted:
            own = [by_id[each.shard.dataset, video.id] for video in each.shard.videos]
            found = pool.map(lambda source: _layers(source, stores), own)
            videos = _videos(each, own, list(found))
            layers: dict[str, Values] = {name: values[name] for name in names[each.shard.dataset]}
            tasks.append(
                LayerTask(
                    shard=each.shard,
                    videos=videos,
                    layers=layers,
                    options=corpus.pack,
                    out=storage.uri,
                )
            )
    return tasks


def _layers(source: Source, stores: Stores) -> dict[str, FoundLayer]:
    """Find the layers that a video has."""
    found = {}
    for name, layer in source.layers.items():
        place = find_place(layer.locations, stores)
        if place is not None:
            found[name] = FoundLayer(place=place, config=layer.config)
    return found


def _videos(
    packed: PackedShard, sources: Sequence[Source], layers: Sequence[dict[str, FoundLayer]]
) -> tuple[LayeredVideo, ...]:
    readings = {reading.video: reading for reading in packed.readings}
    videos = []
    for video, source, found in zip(packed.shard.videos, sources, layers, strict=True):
        reading = readings[video.id]
        videos.append(
            LayeredVideo(
                packed=video,
                location=source.location,
                hidden=source.hidden,
                image_fps=source.image_fps,
                images=source.images,
                still=source.still,
                crop=reading.crop,
                lost_start=any(span.start < 0 for span in reading.lost),
                layers=found,
            )
        )
    return tuple(videos)


def _receipts(storage: Storage, tasks: Sequence[LayerTask]) -> _Known:
    """Load the receipts of the layers of some shards.

    Raises:
        StorageError: The store fails.
    """
    keys = [(task, name) for task in tasks for name in task.layers]
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        found = pool.map(lambda key: LayerReceipt.load(storage, *key), keys)
        return {
            (task.shard.name, name): receipt
            for (task, name), receipt in zip(keys, found, strict=True)
        }


def _pack_missing(
    storage: Storage,
    owner: Owner,
    tasks: Sequence[LayerTask],
    receipts: _Known,
    workers: int | None,
) -> _Known:
    """Pack the layers that have no receipt yet; stop as soon as another process takes the store over.

    Raises:
        LayerError: A layer is not one of its video, or its values are not such as it can have.
        ShardError: A store fails, or a worker is killed.
    """
    missing = []
    for task in tasks:
        layers = {
            name: values
            for name, values in task.layers.items()
            if receipts[task.shard.name, name] is None
        }
        if layers:
            missing.append(replace(task, layers=layers))

    workers = workers or cores()
    at_once = max(1, min(workers, len(missing)))
    threads = min(MAX_THREADS, max(1, cores() // at_once))
    missing = [replace(task, threads=threads) for task in missing]

    packed = dict(receipts)
    frames = [task.shard.num_frames for task in missing]
    for task, done in run_all(
        pack_layers_of, missing, frames, workers=workers, label="layers", pinned=True
    ):
        owner.check()
        packed |= {(task.shard.name, name): receipt for name, receipt in done.items()}
    return packed


def _withdraw(storage: Storage, wanted: Collection[tuple[str, str]], *, stale: bool) -> None:
    """Delete the layers that are no longer asked for, and the manifests of those that are to change.

    Args:
        storage: The corpus.
        wanted: Shard and layer of each that is to stay.
        stale: Whether some of those that are wanted are to be packed, again or for the first time.

    Raises:
        StorageError: The store fails.
    """
    layers = {layer for _, layer in wanted}
    present = storage.sizes()
    gone = [
        name
        for name in present
        if (found := layer_of_file(name)) is not None and found not in wanted
    ]

    # First what leads to them: nobody is to read half of one layer and half of another.
    for name in present:
        layer = layer_of_manifest(name)
        if layer is None:
            continue
        if stale or gone or layer not in layers or _lists_others(storage, layer, wanted):
            storage.delete(name)

    if gone:
        log.warning(
            "%s: removes %d files of layers that the corpus file, or a shard, no longer has: %s",
            storage.uri,
            len(gone),
            ", ".join(sorted({found[1] for name in gone if (found := layer_of_file(name))})),
        )
    for name in gone:
        storage.delete(name)


def _lists_others(storage: Storage, layer: str, wanted: Collection[tuple[str, str]]) -> bool:
    """Whether the manifest of a layer is damaged, or lists a shard that is gone or to be packed again."""
    try:
        shards = LayerManifest.load(storage, layer).shards
    except ManifestError:
        return True
    return any((shard.shard, layer) not in wanted for shard in shards)
