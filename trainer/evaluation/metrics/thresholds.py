"""Average precision over videos that count several times each, without sorting their rows again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surgstream.trainer.evaluation.metrics.draws import in_blocks
from surgstream.trainer.evaluation.metrics.statistic import Floats, Weights, zero_to_nan

Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False, kw_only=True)
class Thresholds:
    """The K distinct scores of a video's rows of a class, where recall rises if this video is drawn.

    Attributes:
        owner: The video's number.
        hits: (V, K): how many rows of the class each of V videos has with at least this score.
        rows: (V, K): how many rows of any class.
        gained: (K,): how many rows of the class the owner has with just this score.
    """

    owner: int
    hits: Counts
    rows: Counts
    gained: Floats

    def gained_precision(self, weights: Weights) -> Floats:
        """The sum over thresholds of precision times what the owner gains, of each of D draws that hold it, (D,)."""
        hits = weights @ self.hits.astype(np.float64)
        rows = weights @ self.rows.astype(np.float64)
        return weights[:, self.owner] * ((hits / rows) @ self.gained)


@dataclass(frozen=True, eq=False, kw_only=True)
class RankedClass:
    """The rows of a class over V videos, counted once.

    Recall rises at the scores of rows of the class, by as much as the videos that own them count: for video v, that
    counts w_v times and has g_vk rows of the class with its k-th score, c_v in all,

        average precision = sum over v and k of w_v g_vk P_vk / sum over v of w_v c_v

    where precision P_vk = sum_u w_u hits_uvk / sum_u w_u rows_uvk counts the rows of all videos u with at least that
    score.

    Attributes:
        thresholds: Those of each video.
    """

    thresholds: Sequence[Thresholds]

    def average_precision(self, weights: Weights) -> Floats:
        """That of each of D draws, (D,); NaN where no video with a row of the class is drawn."""
        most = max(len(own.gained) for own in self.thresholds)
        return in_blocks(self._at, weights, num_cells=most)

    def _at(self, weights: Weights) -> Floats:
        total = np.zeros(len(weights))
        num_rows = np.zeros(len(weights))

        for own in self.thresholds:
            drawn = np.flatnonzero(weights[:, own.owner])
            total[drawn] += own.gained_precision(weights[drawn])
            num_rows += weights[:, own.owner] * own.gained.sum()
        return total / zero_to_nan(num_rows)


def rank(truth: Sequence[Bools], scores: Sequence[Floats]) -> RankedClass:
    """Count the rows of a class at each of its scores.

    Args:
        truth: Of each of V videos (n,), whether each row is of the class.
        scores: Of each video (n,), higher is more likely.
    """
    all_scores = [np.sort(values) for values in scores]
    own_scores = [np.sort(values[true]) for true, values in zip(truth, scores, strict=True)]

    thresholds = []
    for owner, values in enumerate(own_scores):
        distinct, gained = np.unique(values, return_counts=True)
        thresholds.append(
            Thresholds(
                owner=owner,
                hits=_num_from(distinct, own_scores),
                rows=_num_from(distinct, all_scores),
                gained=gained.astype(np.float64),
            )
        )
    return RankedClass(thresholds=thresholds)


def _num_from(thresholds: Floats, sorted_scores: Sequence[Floats]) -> Counts:
    """(V, K): how many of each video's scores reach each threshold."""
    counts = [len(values) - np.searchsorted(values, thresholds) for values in sorted_scores]
    return np.array(counts, np.int32)
