"""Predictions and labels of the same videos, matched row by row by time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.labels.timeline import TrueRows
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo
from surgstream.trainer.evaluation.predictions.stored import PredictedVideo, Predictions

MAX_MISSING = 0.01
"""The largest share of a video's labelled rows that may lack a prediction; or two, if they are no tenth of them."""

_ROUNDING = 1e-3
"""Times are often rounded to milliseconds."""

_FEW = 2
_SHOWN = 8

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The videos that are asked for.

    Attributes:
        split: Their name, such as `test`.
        videos: Their labelled rows.
        others: Ids of the task's other splits, whose predictions are passed over.
        groups: The group of each video that is in one.
        row_seconds: The time from one labelled row to the next; 0 where a video is labelled as a whole.
    """

    split: str
    videos: Mapping[str, TrueRows]
    others: frozenset[str]
    groups: Mapping[str, str]
    row_seconds: float


def match(
    predictions: Predictions, asked: Asked, space: LabelSpace
) -> tuple[list[ScoredVideo], list[str]]:
    """Find the prediction of each labelled row: the nearest one, at most half a row away.

    Args:
        predictions: The predictions.
        asked: The videos and their labels.
        space: What labels there are.

    Returns:
        The videos in the order of their ids, and sentences about what does not count.

    Raises:
        EvaluationError: A video has no predictions, or too few; or the classes are others.
    """
    order = _order_of_classes(predictions, space)
    told = [*_told_of_others(predictions, asked), *_told_of_rows(predictions, asked)]
    if space.kind == "multilabel" and _are_labels(predictions):
        told.append(
            "labels alone were predicted: average precision ranks them as scores of 0 and 1"
        )
    videos = []
    for name in sorted(asked.videos):
        if name not in predictions.videos:
            hint = did_you_mean(name, sorted(predictions.videos.keys() - asked.videos.keys()))
            raise EvaluationError(
                f"{predictions.where}: expected predictions for all {len(asked.videos)} videos of the "
                f"{asked.split} split, {name} has none{hint}"
            )
        true = asked.videos[name]
        predicted = predictions.videos[name]
        where = f"{predictions.where}: {name}"
        kept, chosen = _match_rows(true.seconds, predicted, asked.row_seconds, where, told)
        found = _predicted(predicted, chosen, order, space)
        videos.append(
            ScoredVideo(
                video=name,
                group=asked.groups.get(name, name),
                seconds=true.seconds[kept],
                truth=true.truth[kept],
                predicted=found["predicted"],
                scores=found["scores"],
            )
        )
    return videos, told


def _order_of_classes(predictions: Predictions, space: LabelSpace) -> npt.NDArray[np.int64]:
    """For each class of the task its number among those of the predictions."""
    if sorted(predictions.classes) != sorted(space.classes):
        unknown = [name for name in predictions.classes if name not in space.classes]
        missing = [name for name in space.classes if name not in predictions.classes]
        got = f"{unknown[0]!r}, which it has not" if unknown else f"none of {missing[0]!r}"
        raise EvaluationError(f"{predictions.where}: expected the classes of the task, got {got}")
    return np.array([predictions.classes.index(name) for name in space.classes], np.int64)


def _told_of_others(predictions: Predictions, asked: Asked) -> Iterator[str]:
    """Sentences about videos that are not asked for: those of another split, and those of none."""
    others = [name for name in sorted(predictions.videos) if name not in asked.videos]
    of_none = [name for name in others if name not in asked.others]
    if len(others) > len(of_none):
        count = len(others) - len(of_none)
        yield f"{count} videos of another split than {asked.split} do not count"
    if of_none:
        shown = ", ".join(name[:80] for name in of_none[:_SHOWN])
        more = f" and {len(of_none) - _SHOWN} more" if len(of_none) > _SHOWN else ""
        yield f"videos that are in no split of the task do not count: {shown}{more}"


def _told_of_rows(predictions: Predictions, asked: Asked) -> Iterator[str]:
    """A sentence about predictions that are further than half a row from any labelled row."""
    if not asked.row_seconds:
        return

    num_rows = 0
    videos = []
    for name in sorted(asked.videos.keys() & predictions.videos.keys()):
        predicted = predictions.videos[name].seconds
        seconds = asked.videos[name].seconds
        distance = np.abs(seconds[_nearest(predicted, seconds)] - predicted)
        far = predicted[distance > asked.row_seconds / 2 + _ROUNDING]
        num_rows += far.size
        videos += [f"{name} at second {far[0]:g}"] if far.size else []
    if num_rows:
        yield (
            f"{num_rows:,} predictions are at no labelled row and do not count, in {len(videos)} of "
            f"{len(asked.videos)} videos, the first in {videos[0]}"
        )


def _are_labels(predictions: Predictions) -> bool:
    """Whether all scores are 0 or 1."""
    scores = [video.scores for video in predictions.videos.values() if video.scores is not None]
    return all(np.isin(each, (0, 1)).all() for each in scores)


def _match_rows(
    seconds: Floats, predicted: PredictedVideo, row_seconds: float, where: str, told: list[str]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Numbers of the labelled rows that have a prediction, and of that prediction."""
    if not row_seconds:
        if len(predicted.seconds) != 1:
            raise EvaluationError(f"{where}: expected one row, got {len(predicted.seconds)}")
        return np.arange(1), np.arange(1)

    nearest = _nearest(seconds, predicted.seconds)
    near = np.abs(predicted.seconds[nearest] - seconds) <= row_seconds / 2 + _ROUNDING
    kept = np.flatnonzero(near)
    num_missing = len(seconds) - len(kept)
    if num_missing:
        first = seconds[np.flatnonzero(~near)[0]]
        rows = f"{num_missing} of {len(seconds):,} labelled rows"
        if num_missing > max(min(_FEW, len(seconds) // 10), MAX_MISSING * len(seconds)):
            raise EvaluationError(
                f"{where}: expected a prediction for each labelled row, got none for {rows}, the first "
                f"of them at second {first:g}; predict every {row_seconds:g} s"
            )
        told.append(f"{where}: {rows} have no prediction and do not count, from second {first:g}")
    return kept, nearest[kept]


def _nearest(seconds: Floats, candidates: Floats) -> npt.NDArray[np.int64]:
    """For each time the number of the nearest candidate, the earlier one of two as near."""
    after = np.searchsorted(candidates, seconds).clip(0, len(candidates) - 1)
    before = (after - 1).clip(0)
    is_before = np.abs(candidates[before] - seconds) <= np.abs(candidates[after] - seconds)
    return np.where(is_before, before, after)


def _predicted(
    predicted: PredictedVideo,
    chosen: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
    space: LabelSpace,
) -> dict[str, npt.NDArray[Any] | None]:
    """`scores` and `predicted` of the chosen rows, with the classes in the order of the task."""
    if predicted.scores is not None:
        scores = predicted.scores[chosen][:, order]
        best = scores.argmax(1) if space.kind == "class" else None
        return {"scores": scores, "predicted": best}

    assert predicted.predicted is not None
    values = predicted.predicted[chosen]
    if space.kind == "class":
        # From numbers of the predictions' classes to those of the task's.
        values = np.argsort(order)[values]
    return {"scores": None, "predicted": values}
