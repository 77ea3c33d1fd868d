"""Average precision of action triplets and of their components, as CholecT50's authors define it.

A component, such as an instrument, is there where one of its triplets is, and its score is the highest of theirs.
Frames without any triplet stay: they are rows in which nothing is.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from surgstream.trainer.errors import MetricError
from surgstream.trainer.evaluation.metrics.metric import Metric
from surgstream.trainer.evaluation.metrics.ranking import (
    Columns,
    columns_of,
    per_video,
    pooled_over_rows,
)
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, Videos

Grouping = Callable[[LabelSpace], Mapping[str, Sequence[int]]]
"""From what labels there are to the numbers of the triplets behind each column, by the column's name."""


def each_triplet(labels: LabelSpace) -> dict[str, list[int]]:
    """A column a triplet, null triplets too."""
    return {name: [number] for number, name in enumerate(labels.classes)}


def each_but_null(labels: LabelSpace) -> dict[str, list[int]]:
    """A column a triplet that is no null triplet. The frames of null triplets stay."""
    return {
        name: [number]
        for number, name in enumerate(labels.classes)
        if number not in labels.null_classes
    }


def each_component(*parts: str) -> Grouping:
    """A column a component, such as an instrument, or a pair of instrument and verb, that is part of some triplet."""

    def grouping(labels: LabelSpace) -> dict[str, list[int]]:
        found: dict[tuple[int, ...], list[int]] = {}
        for triplet, component in enumerate(zip(*_numbers(labels, parts), strict=True)):
            found.setdefault(component, []).append(triplet)

        return {_name(labels, found[key][0], parts): found[key] for key in sorted(found)}

    return grouping


def _numbers(labels: LabelSpace, parts: tuple[str, ...]) -> list[tuple[int, ...]]:
    """The number of each triplet's part, for each of some parts."""
    if any(part not in labels.components for part in parts):
        raise MetricError(
            f"components of classes: expected {' and '.join(parts)} among them, got "
            f"{', '.join(labels.components) or 'none'}; name them in the task, or leave this metric out"
        )
    return [labels.components[part] for part in parts]


def _name(labels: LabelSpace, triplet: int, parts: tuple[str, ...]) -> str:
    """The words for some parts in the name of a triplet."""
    words = dict(zip(labels.components, labels.classes[triplet].split("/"), strict=True))
    return "/".join(words[part] for part in parts)


def grouped(videos: Videos, labels: LabelSpace, grouping: Grouping, called: str) -> Columns:
    """Merge the columns of triplets: true where one of a group is, with the highest of their scores."""
    triplets = columns_of(videos, labels)
    groups = grouping(labels)
    members = list(groups.values())

    return Columns(
        names=tuple(groups),
        truth=[
            np.stack([truth[:, group].any(1) for group in members], axis=1)
            for truth in triplets.truth
        ],
        scores=[
            np.stack([scores[:, group].max(1) for group in members], axis=1)
            for scores in triplets.scores
        ],
        called=called,
    )


def _metrics(name: str, called: str, grouping: Grouping) -> dict[str, Metric]:
    """The two metrics of a grouping: over videos, as published, and over all rows."""
    return {
        name: Metric(
            title=f"Average precision of {called}, videos then classes",
            kinds=("multilabel",),
            needs="scores",
            compute=lambda videos, labels: per_video(grouped(videos, labels, grouping, called)),
        ),
        f"{name}_pooled": Metric(
            title=f"Average precision of {called}, over all rows",
            kinds=("multilabel",),
            needs="scores",
            compute=lambda videos, labels: pooled_over_rows(
                grouped(videos, labels, grouping, called)
            ),
        ),
    }


METRICS: dict[str, Metric] = {
    **_metrics("ap_i", "instruments", each_component("instrument")),
    **_metrics("ap_v", "verbs", each_component("verb")),
    **_metrics("ap_t", "targets", each_component("target")),
    **_metrics("ap_iv", "pairs of instrument and verb", each_component("instrument", "verb")),
    **_metrics("ap_it", "pairs of instrument and target", each_component("instrument", "target")),
    **_metrics("ap_ivt", "triplets", each_triplet),
    **_metrics("ap_ivt_no_null", "triplets but the null ones", each_but_null),
}
