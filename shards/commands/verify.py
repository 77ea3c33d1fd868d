"""`surgstream verify`: check every byte of a packed corpus, and name what is wrong."""

import argparse
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

from surgstream.shards.errors import ManifestError
from surgstream.shards.format.layers import LayerManifest, LayerShard
from surgstream.shards.format.manifest import Manifest, ManifestFile
from surgstream.shards.format.names import MANIFEST_NAME
from surgstream.shards.format.records import Shard
from surgstream.shards.layers.checks import check_layer, load_layers
from surgstream.shards.packing.checks import check_shard
from surgstream.shards.packing.record_checks import check_records, find_pictures
from surgstream.shards.storage.stores import Storage, open_storage
from surgstream.shards.workers import ProgressCallback, cores, run_all

log = logging.getLogger(__name__)


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream verify`."""
    storage = open_storage(words.out)
    manifest = Manifest.load(storage)

    num_findings = 0
    for finding in verify(manifest, storage, workers=words.workers or cores()):
        sys.stdout.write(finding + "\n")
        num_findings += 1

    sys.stdout.write(_summary(manifest, num_findings))
    return 1 if num_findings else 0


def verify(manifest: Manifest, storage: Storage, *, workers: int) -> Iterator[str]:
    """Check a corpus.

    Args:
        manifest: The corpus's manifest.
        storage: The corpus.
        workers: Number of processes; each checks one shard at a time.

    Yields:
        Everything that is wrong, one sentence each.

    Raises:
        ShardError: The store fails, or a worker is killed.
    """
    segment_frames = manifest.packing.get("segment_frames")
    if not isinstance(segment_frames, int) or segment_frames < 1:
        raise ManifestError(
            f"{storage.uri}: {MANIFEST_NAME}: packing.segment_frames: "
            f"expected a whole number of at least 1, got {segment_frames!r}"
        )

    pictured = find_pictures(storage)
    if pictured:
        log.warning(
            "%s: %d files, such as %s, hold pictures of what was found, and of what was dropped "
            "as well: an earlier version kept them there; run `surgstream pack` again to remove "
            "those in records, and delete reports",
            storage.uri,
            len(pictured),
            pictured[0],
        )

    yield from check_records(manifest, storage, pictured)
    tasks = [VerifyTask(shard, segment_frames, storage.uri) for shard in manifest.shards]
    frames = [shard.num_frames for shard in manifest.shards]
    for _, findings in run_all(_verify_shard, tasks, frames, workers=workers, label="verify"):
        yield from findings

    yield from _verify_layers(manifest, segment_frames, storage, workers)


@dataclass(frozen=True)
class VerifyTask:
    """A shard, the length of its segments, and the address of the corpus."""

    shard: Shard
    segment_frames: int
    out: str


def _verify_shard(task: VerifyTask, progress: ProgressCallback) -> list[str]:
    return list(check_shard(task.shard, task.segment_frames, open_storage(task.out), progress))


def _verify_layers(
    manifest: Manifest, segment_frames: int, storage: Storage, workers: int
) -> Iterator[str]:
    shards = {shard.name: shard for shard in manifest.shards}
    layers: list[LayerManifest] = []
    yield from load_layers(storage, ManifestFile.load(storage).sha256, shards, layers)

    tasks = []
    for layer in layers:
        # The list of all shards would travel to the worker of each.
        bare = replace(layer, shards=(), quarantine=())
        for own in layer.shards:
            task = LayerVerifyTask(bare, own, shards[own.shard], segment_frames, storage.uri)
            tasks.append(task)
    frames = [task.own.num_frames for task in tasks]
    for _, findings in run_all(_verify_layer, tasks, frames, workers=workers, label="layers"):
        yield from findings


@dataclass(frozen=True)
class LayerVerifyTask:
    """A layer, its entry for a shard, that shard, the length of its segments, and the address of the corpus."""

    layer: LayerManifest
    own: LayerShard
    shard: Shard
    segment_frames: int
    out: str


def _verify_layer(task: LayerVerifyTask, progress: ProgressCallback) -> list[str]:
    storage = open_storage(task.out)
    return list(
        check_layer(task.layer, task.own, task.shard, task.segment_frames, storage, progress)
    )


def _summary(manifest: Manifest, num_findings: int) -> str:
    videos = sum(len(shard.videos) for shard in manifest.shards)
    frames = sum(shard.num_frames for shard in manifest.shards)
    megabytes = sum(shard.num_bytes for shard in manifest.shards) / 1e6
    verdict = f"{num_findings} damaged" if num_findings else "every byte is as it was packed"
    contents = f"{len(manifest.shards)} shards, {videos} videos, {frames} frames"
    return f"{contents}, {megabytes:.1f} MB: {verdict}\n"
