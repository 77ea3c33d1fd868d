"""`surgstream leaks CORPUS --task TASK`: find what a task's training videos show of those that it is judged by."""

import argparse
import sys

from surgstream.configs.errors import ConfigError
from surgstream.shards.commands.leaks import sources_of
from surgstream.shards.errors import LeakError
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.leaks.between import shared_between
from surgstream.shards.leaks.findings import Compared, as_json, as_text, some_of
from surgstream.shards.leaks.some_videos import SomeVideos
from surgstream.shards.storage.stores import open_storage
from surgstream.shards.workers import cores
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.evaluation.tasks.opening import find_judged_task
from surgstream.trainer.evaluation.tasks.resolving import resolve
from surgstream.trainer.lineage.judging import JUDGED


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream leaks` with --task.

    Raises:
        LeakError: --fail-on-leak was given, and a training video shows what is judged by, or that was not compared.
    """
    task = _with_ids(find_judged_task(words.task), words.train)
    compared = compare_splits(
        task, words.train, workers=words.workers or cores(), from_sources=words.from_sources
    )
    sys.stdout.write(as_json(compared) if words.json else as_text(compared))
    sys.stdout.flush()

    if words.fail_on_leak:
        _fail_on_leak(task, compared)
    return 0


def _with_ids(task: TaskConfig, corpus: str) -> TaskConfig:
    """A task with the ids of its videos; here nobody names labels, so globs match the videos that are packed."""
    if not task.has_globs:
        return task
    manifest = Manifest.load(open_storage(corpus))
    ids = {
        video.id
        for shard in manifest.shards
        if shard.dataset == task.dataset
        for video in shard.videos
    }
    return resolve(task, ids, corpus)


def compare_splits(
    task: TaskConfig, corpus: str, *, workers: int, from_sources: bool = False
) -> Compared:
    """Compare the training videos of a task with those to validate and to test on.

    Args:
        task: The task, with a split.
        corpus: The packed corpus that holds all of them.
        workers: Processes at a time.
        from_sources: Look at the videos that were packed instead of packed frames.

    Returns:
        What they share, of kind `held_out`, the training video first.

    Raises:
        ConfigError: The corpus has no training videos of the task, or no others.
        ShardError: It cannot be read.
    """
    manifest = Manifest.load(open_storage(corpus))
    trained = _some(task, corpus, manifest, ("train",))
    judged = _some(task, corpus, manifest, JUDGED)
    sources = sources_of([corpus]) if from_sources else {}
    compared = shared_between(judged, trained, workers=workers, sources=sources)
    assert compared
    return compared


def _some(task: TaskConfig, corpus: str, manifest: Manifest, splits: tuple[str, ...]) -> SomeVideos:
    """The videos of some splits."""
    wanted = {(task.dataset, id) for split in splits for id in task.videos(split)}
    found = SomeVideos.of(corpus, manifest, lambda *name: name in wanted)
    if not found.manifest.shards:
        raise ConfigError(
            f"{corpus}: expected {' or '.join(splits)} videos of {task.name} in the dataset "
            f"{task.dataset}, got none"
        )
    return found


def _fail_on_leak(task: TaskConfig, compared: Compared) -> None:
    pairs = sorted({f"{found.first.video} and {found.second.video}" for found in compared.findings})
    if pairs:
        raise LeakError(
            f"{task.name}: expected training videos that show nothing of those it is judged by, got "
            f"{len(pairs)} pairs that share a stretch: {some_of(pairs)}; put both videos of a pair into "
            "one split, or one of them into none"
        )

    lost = sorted(each.video for each in compared.not_compared)
    if lost:
        raise LeakError(
            f"{task.name}: expected videos to judge by that can be compared, got {len(lost)} that are "
            f"dark or of one colour: {some_of(lost)}; look at them, or take them out of the split"
        )
