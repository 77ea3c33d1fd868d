"""Predictions and labels of the same videos, matched row by row by time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from surgstream.configs.suggestions import did_you_mean
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo
from surgstream.trainer.evaluation.predictions.stored import PredictedVideo, Predictions

MAX_MISSING = 0.01
"""The largest share of a video's labelled rows, or two of them, that may lack a prediction."""

_FEW = 2

Floats = npt.NDArray[np.float64]


class TrueRows(Protocol):
    """The labelled rows of a video, as `shards.labels` reads them: times (n,) and labels, see `ScoredVideo.truth`."""

    @property
    def seconds(self) -> Floats:
        """The times of rows."""

    @property
    def truth(self) -> npt.NDArray[Any]:
        """The labels of rows."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The videos that are asked for.

    Attributes:
        split: Their name, such as `test`.
        videos: Their labelled rows.
        others: Ids that the task knows beside, whose predictions are passed over.
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
        EvaluationError: A video has no predictions, or too few; or there are predictions for a video that the task does
            not know; or the classes are others.
    """
    order = _order_of_classes(predictions, space)
    told = list(_told_of_others(predictions, asked))
    videos = []
    for name in sorted(asked.videos):
        if name not in predictions.videos:
            hint = did_you_mean(name, predictions.videos)
            raise EvaluationError(
                f"{predictions.where}: expected predictions for all {len(asked.videos)} videos of the "
                f"{asked.split} split, {name} has none{hint}"
            )
        true = asked.videos[name]
        predicted = predictions.videos[name]
        where = f"{predictions.where}: {name}"
        kept, chosen = _match_rows(true.seconds, predicted, asked.row_seconds, where, told)
        videos.append(
            ScoredVideo(
                video=name,
                group=asked.groups.get(name, name),
                seconds=true.seconds[kept],
                truth=true.truth[kept],
                **_predicted(predicted, chosen, order, space),
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


def _told_of_others(predictions: Predictions, asked: Asked) -> Sequence[str]:
    others = [name for name in predictions.videos if name not in asked.videos]
    for name in others:
        if name not in asked.others:
            hint = did_you_mean(name, [*asked.videos, *asked.others])
            raise EvaluationError(
                f"{predictions.where}: expected videos of the task, got {name[:80]!r}{hint}"
            )
    if others:
        return [f"{len(others)} videos that are not of the {asked.split} split do not count"]
    return []


def _match_rows(
    seconds: Floats, predicted: PredictedVideo, row_seconds: float, where: str, told: list[str]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Numbers of the labelled rows that have a prediction, and of that prediction."""
    if not row_seconds:
        if len(predicted.seconds) != 1:
            raise EvaluationError(f"{where}: expected one row, got {len(predicted.seconds)}")
        return np.arange(1), np.arange(1)

    nearest = _nearest(seconds, predicted.seconds)
    # Times are often rounded to milliseconds.
    near = np.abs(predicted.seconds[nearest] - seconds) <= row_seconds / 2 + 1e-3
    kept = np.flatnonzero(near)
    num_missing = len(seconds) - len(kept)
    if num_missing:
        first = seconds[np.flatnonzero(~near)[0]]
        rows = f"{num_missing} of {len(seconds):,} labelled rows"
        if num_missing > max(_FEW, MAX_MISSING * len(seconds)) or not kept.size:
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
