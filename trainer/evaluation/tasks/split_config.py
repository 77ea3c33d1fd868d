"""The videos of a task: those to train, to choose and to test on, and parts of the latter."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from surgstream.configs.errors import ConfigError
from surgstream.configs.id_ranges import expand
from surgstream.configs.ranges import Range
from surgstream.trainer.evaluation.tasks.splits import Ids, is_glob, overlaps

_NAME = re.compile("[a-z0-9]+(_[a-z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """Videos by their ids: ranges as `video[01-40]`, ids, or globs as `CVC-300_*`.

    Globs are for ids that depend on what was packed. They stand for nothing until the task meets its corpus or labels,
    see `tasks.resolving`.

    Attributes:
        train: To train on.
        val: To choose by, such as heads, epochs and rates; may be empty, where nothing is chosen.
        test: Asked once.
        source: Where the split is from: a paper, a repository, or `ours` with the reason.
        shares_groups: Why groups of the task may be in several of its splits, as an official split may have it; empty
            where they may not.
    """

    train: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    test: tuple[str, ...]
    source: str
    shares_groups: str = ""

    def entries(self) -> dict[str, Ids]:
        """Ids and globs of each split, without ranges."""
        return {"train": expand(self.train), "val": expand(self.val), "test": expand(self.test)}

    @property
    def has_globs(self) -> bool:
        """Whether some videos are named by globs."""
        return any(map(is_glob, (*self.train, *self.val, *self.test)))

    def videos(self) -> dict[str, Ids]:
        """The ids of each split.

        Raises:
            ConfigError: Some are globs, which nobody has resolved.
        """
        entries = self.entries()
        for name, ids in entries.items():
            for glob in filter(is_glob, ids):
                raise ConfigError(
                    f"split.{name}: expected ids of videos, got the glob {glob!r}, which a corpus or "
                    "labels resolve; name one of them"
                )
        return entries

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        try:
            videos = self.entries()
        except ValueError as error:
            yield str(error)
            return

        if not videos["test"]:
            yield "test: expected at least one video, got none"
        yield from overlaps(videos)


@dataclass(frozen=True, kw_only=True)
class PartConfig:
    """Test videos that are scored by themselves as well, such as those of one centre.

    Attributes:
        videos: Ids, ranges of them or globs, as in a split. Of these the test videos count, whatever others are there.
        title: What they are called, such as `CVC-ClinicDB`; empty takes the name of the part.
        expected: How many test videos there are, where that is published. Another number is told beside the scores.
    """

    videos: tuple[str, ...]
    title: str = ""
    expected: Annotated[int, Range(1, 10**6)] | None = None


def metric_of_part(metric: str, part: str) -> str:
    """The id of a metric of one part, such as `dice_clinic`."""
    return f"{metric}_{part}"


def problems_of_parts(
    parts: Mapping[str, Ids],
    splits: Sequence[Mapping[str, Ids]],
    metrics: Collection[str],
) -> Iterator[str]:
    """Yield what is wrong with the parts of a task.

    Args:
        parts: Ids and globs of each part, by its name.
        splits: Ids and globs of each split, of all folds.
        metrics: The ids of the task's metrics.
    """
    tested = {id for videos in splits for id in videos["test"]}
    named = {id for videos in splits for ids in videos.values() for id in ids}
    taken = {*metrics}
    for name, ids in parts.items():
        if not _NAME.fullmatch(name):
            yield f"parts: expected names of a-z 0-9 _, such as clinic, got {name!r}"

        for metric in metrics:
            id = metric_of_part(metric, name)
            if id in taken:
                yield f"parts.{name}: expected another name, as {id} is a metric already"
            taken.add(id)

        if any(map(is_glob, (*ids, *named))):
            continue  # until they are resolved
        if others := sorted({*ids} - named):
            yield f"parts.{name}.videos: expected videos of a split, got {others[0]!r}"
        elif not tested & {*ids}:
            yield f"parts.{name}.videos: expected a test video or more, got none"
