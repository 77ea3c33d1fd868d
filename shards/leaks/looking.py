"""Look at every video of some corpora, in processes, but at none whose fingerprints are kept."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.records import Shard
from surgstream.shards.inspection.packed_frames import Placed
from surgstream.shards.leaks.kept import keep_looks, kept_looks, key_of
from surgstream.shards.leaks.read import (
    Source,
    VideoFingerprints,
    fingerprint_video,
    step_seconds,
)
from surgstream.shards.storage.stores import open_storage
from surgstream.shards.workers import ProgressCallback, run_all

Sources = dict[tuple[str, str], Source]
"""The files of a corpus' videos, by dataset and id."""


@dataclass(frozen=True)
class LookTask:
    """A shard, the address of its corpus, seconds from one fingerprint to the next, and files to look at instead."""

    number: int
    corpus: str
    shard: Shard
    step: float
    sources: Sources


def look_tasks(corpora: dict[str, Manifest], sources: dict[str, Sources]) -> list[LookTask]:
    """A task for each shard of all corpora, in their order.

    Args:
        corpora: Manifests by address.
        sources: By address of a corpus, the files to look at instead of packed frames.
    """
    shards: list[tuple[str, Shard]] = []
    rates: list[float] = []
    for corpus, manifest in corpora.items():
        for shard in manifest.shards:
            shards.append((corpus, shard))
            rates += [video.fps for video in shard.videos]

    step = step_seconds(rates)
    return [
        LookTask(number, corpus, shard, step, sources.get(corpus, {}))
        for number, (corpus, shard) in enumerate(shards)
    ]


def looks_at(
    tasks: list[LookTask], *, workers: int, kept: Path | None
) -> list[list[VideoFingerprints]]:
    """The fingerprints of each task's videos.

    Args:
        tasks: The shards.
        workers: Processes at a time; 1 is this one.
        kept: The folder in which fingerprints of packed frames are kept; None keeps none.

    Raises:
        CorruptSampleError: A frame is damaged.
        StorageError: A store fails.
        VideoError: A source cannot be decoded.
    """
    keys = {
        task.number: key_of(task.shard, task.step) for task in tasks if kept and not task.sources
    }
    done: dict[int, list[VideoFingerprints]] = {}
    for number, key in keys.items():
        looks = kept_looks(kept, key)
        if looks is not None:
            done[number] = looks

    missing = [task for task in tasks if task.number not in done]
    for task, looks in _looked(missing, workers):
        done[task.number] = looks
        # At once, so that whoever is killed goes on from here
        if task.number in keys:
            keep_looks(kept, keys[task.number], looks)
    return [done.pop(task.number) for task in tasks]


def _looked(
    tasks: list[LookTask], workers: int
) -> Iterator[tuple[LookTask, list[VideoFingerprints]]]:
    if workers > 1:
        frames = [task.shard.num_frames for task in tasks]
        yield from run_all(_look, tasks, frames, workers=workers, label="leaks")
        return

    # Here, as a process of a daemon may start no other ones, and a new one takes seconds
    for task in tasks:
        yield task, _look(task, lambda *_: None)


def _look(task: LookTask, progress: ProgressCallback) -> list[VideoFingerprints]:
    storage = open_storage(task.corpus)
    found = []
    for video in task.shard.videos:
        source = task.sources.get((task.shard.dataset, video.id))
        look = fingerprint_video(storage, Placed(task.shard, video), task.step, source)
        found.append(look)
        progress(video.num_frames)
    return found
