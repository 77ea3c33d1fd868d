"""Predictions of a split's clips by weights that learn or have learned, on all ranks together."""

from collections.abc import Callable
from typing import cast

from torch import Tensor

from surgstream.trainer.assembly import clip_source
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.data.config import View
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.labelled.clips import SplitClips
from surgstream.trainer.labelled.collecting import Collector
from surgstream.trainer.labelled.config import VIEWS
from surgstream.trainer.labelled.predicting import predict

Score = Callable[[Tensor], Tensor]
"""From clips (B, C, T, H, W) to scores (B, C), as `Supervised.scores`."""


class Predictor:
    """Predicts the clips of a split, in all views that the recipe wants.

    Args:
        config: The recipe.
        split: The clips.
        rank_info: This rank's place.
    """

    def __init__(self, config: TrainConfig, split: SplitClips, rank_info: RankInfo) -> None:
        self.split = split
        self._views = cast("tuple[View, ...]", VIEWS[config.clips.view])
        self._source = clip_source(config, rank_info, split.table, augment=self._views[0])

    def predict(self, score: Score, poll_stop: Callable[[], bool]) -> Collector | None:
        """Predict every clip once in each view, dealt to the ranks; collective.

        Args:
            score: Scores clips.
            poll_stop: See `StepContext.poll_stop`.

        Returns:
            What this rank has predicted, to be gathered; None when told to stop.
        """
        return predict(
            self.split, self._source, self._views, lambda clips: score(clips)[None], poll_stop
        )
