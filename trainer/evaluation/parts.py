"""Metrics of parts of the test videos, each part with units of its own."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from surgstream.configs.id_ranges import expand
from surgstream.trainer.evaluation.metrics.catalogue import find_metric
from surgstream.trainer.evaluation.metrics.metric import Metric
from surgstream.trainer.evaluation.metrics.samples import Videos
from surgstream.trainer.evaluation.report.result import Part
from surgstream.trainer.evaluation.statistics.bootstrap import FEW_UNITS
from surgstream.trainer.evaluation.statistics.units import Units, units_of
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.evaluation.tasks.split_config import metric_of_part


@dataclass(frozen=True, eq=False, kw_only=True)
class Scope:
    """A metric over some of the videos that are scored.

    Attributes:
        metric: The metric, under the title that it has here.
        units: What is independent of each other among these videos.
        videos: Their ids; None of all.
    """

    metric: Metric
    units: Units
    videos: frozenset[str] | None

    def of(self, videos: Videos) -> Videos:
        """Those of some videos that count here, in their order."""
        if self.videos is None:
            return videos
        return [video for video in videos if video.video in self.videos]


def scopes_of(task: TaskConfig, videos: Videos, units: Units) -> dict[str, Scope]:
    """The metrics of a task over all videos, each followed by itself over each part, by id.

    Args:
        task: The task, with ids.
        videos: The videos that are scored.
        units: Their units.
    """
    parts = {name: chosen for name in task.parts if (chosen := videos_of_part(task, name, videos))}
    units_of_parts = {
        name: units_of({video.video: video.group for video in chosen}, task.name, task.version)
        for name, chosen in parts.items()
    }

    found = {}
    for id in task.metrics:
        metric = find_metric(id)
        found[id] = Scope(metric=metric, units=units, videos=None)
        for name, chosen in parts.items():
            title = f"{metric.title}: {task.parts[name].title or name}"
            found[metric_of_part(id, name)] = Scope(
                metric=replace(metric, title=title),
                units=units_of_parts[name],
                videos=frozenset(video.video for video in chosen),
            )
    return found


def videos_of_part(task: TaskConfig, name: str, videos: Videos) -> Videos:
    """Those of some videos that are of a part."""
    ids = {*expand(task.parts[name].videos)}
    return [video for video in videos if video.video in ids]


def told_parts(task: TaskConfig, videos: Videos) -> dict[str, Part]:
    """What a result says of the parts that some of its videos are of."""
    found = {}
    for name, part in task.parts.items():
        count = len(videos_of_part(task, name, videos))
        if count:
            found[name] = Part(
                title=part.title or name, num_videos=count, num_expected=part.expected
            )
    return found


def part_warnings(task: TaskConfig, videos: Videos, split: str) -> Iterator[str]:
    """Yield a sentence where parts have few videos, or of the test another number than is published.

    Args:
        task: The task, with ids.
        videos: The videos that are scored.
        split: Their split.
    """
    few, others = [], []
    for name, part in told_parts(task, videos).items():
        groups = {video.video: video.group for video in videos_of_part(task, name, videos)}
        units = units_of(groups, task.name, task.version)
        if units.count < FEW_UNITS:
            few.append(f"{part.title} {units.counted(units.count)}")
        if split == "test" and part.num_expected not in (None, part.num_videos):
            others.append(f"{part.title} {part.num_videos:,} of {part.num_expected:,}")

    if few:
        yield f"parts have so few videos that their intervals are too narrow, or none: {', '.join(few)}"
    if others:
        yield f"parts have other videos than those of published values: {', '.join(others)}"
