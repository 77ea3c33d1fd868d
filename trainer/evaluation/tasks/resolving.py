"""Splits that name videos by globs: the ids of a corpus, or of labels, that these match."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import chain

from surgstream.configs.errors import ConfigError
from surgstream.configs.suggestions import did_you_mean
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.evaluation.tasks.loading import FOLD
from surgstream.trainer.evaluation.tasks.split_config import PartConfig, SplitConfig
from surgstream.trainer.evaluation.tasks.splits import Ids, is_glob, matching

SPLITS = ("train", "val", "test")


def resolve(task: TaskConfig, known: Collection[str], where: str) -> TaskConfig:
    """A task whose splits and parts name videos by ids alone; one that has no globs is returned as it is.

    Args:
        task: The task.
        known: The ids of all videos of its dataset.
        where: Where these are from, for messages.

    Raises:
        ConfigError: A glob matches no video; or with the ids the task is wrong, as where a video is in two splits.
    """
    if not task.has_globs:
        return task

    assert task.split, "globs are resolved of a task that is judged by"
    split = _split(task, task.split, known, where)
    found = replace(task, split=split, parts=_parts(task, split, known, where))
    for problem in chain(split.problems(), found.problems_of_videos()):
        raise ConfigError(f"{where}: {task.name}: {problem}")
    return found


def _split(task: TaskConfig, split: SplitConfig, known: Collection[str], where: str) -> SplitConfig:
    train, val, test = (
        _ids(task, f"split.{name}", getattr(split, name), known, where) for name in SPLITS
    )
    return replace(split, train=train, val=val, test=test)


def _parts(
    task: TaskConfig, split: SplitConfig, known: Collection[str], where: str
) -> dict[str, PartConfig]:
    """The parts with the videos of the split that they name; a fold may test none of a part, which it then lacks."""
    videos = split.videos()
    named = {id for ids in videos.values() for id in ids}
    tested = {*videos["test"]}

    found = {}
    for name, part in task.parts.items():
        ids = _ids(task, f"parts.{name}.videos", part.videos, known, where)
        if FOLD not in task.name or tested & {*ids}:
            found[name] = replace(part, videos=tuple(id for id in ids if id in named))
    return found


def _ids(
    task: TaskConfig, key: str, entries: Sequence[str], known: Collection[str], where: str
) -> Ids:
    """The entries of a key, those of globs replaced by the ids that they match, sorted."""
    if not any(map(is_glob, entries)):
        return tuple(entries)

    ids: list[str] = []
    for entry, matches in matching(entries, known):
        if not matches:
            raise ConfigError(
                f"{where}: {task.name}: {key}: expected videos of {task.dataset} that {entry!r} matches, "
                f"got none of {len(known)}{did_you_mean(entry, known)}; pack what is missing, or "
                "correct their ids"
            )
        ids += matches
    return tuple(ids)
