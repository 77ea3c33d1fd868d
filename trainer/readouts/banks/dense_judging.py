"""Heads' predicted pictures for a split, put together from all ranks, and their files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from surgstream.shards.format.png import to_png
from surgstream.trainer.distributed import gather
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.dense.scoring import score_maps
from surgstream.trainer.evaluation.dense.truth import DenseTruth
from surgstream.trainer.evaluation.metrics.catalogue import find_metric
from surgstream.trainer.evaluation.metrics.statistic import value_of
from surgstream.trainer.evaluation.predictions.maps import (
    PredictedMaps,
    pack_maps,
    to_picture,
    write_maps,
)
from surgstream.trainer.evaluation.predictions.matching import match
from surgstream.trainer.labelled.scoring import asked_of
from surgstream.trainer.readouts.banks.judging import Judge, Predicted
from surgstream.trainer.readouts.dense.targets import DenseTarget
from surgstream.trainer.runs.files import predictions_file

_Pngs = dict[tuple[str, int], list[bytes]]
"""Of each clip, by its video and last frame, the picture of each model."""


@dataclass(frozen=True, eq=False)
class DenseJudge(Judge):
    """Predicts a picture for the last frame of each clip of a split.

    Attributes:
        truth: What is true of them.
    """

    truth: DenseTruth = field(kw_only=True)

    def predict(
        self,
        encode: Callable[[Tensor], Tensor],
        models: Sequence[Callable[[Tensor], Tensor]],
        poll_stop: Callable[[], bool],
    ) -> list[Predicted] | None:
        """Predict all clips, shared by the ranks; see `Judge.predict`. Collective."""
        target = DenseTarget(space=self.truth.space)
        pngs: _Pngs = {}
        with self.source.open_pass(view=self.views[0]) as batches:
            for batch in batches:
                encoded = encode(batch.clips)
                maps = [head.cpu() for model in models for head in model(encoded).float()]
                for i in np.flatnonzero(batch.valid).tolist():
                    name = batch.names[i]
                    key = (name.video, name.anchor_frame)
                    if key in pngs:
                        raise EvaluationError(f"{key}: expected each clip once, got it twice")
                    pngs[key] = [self._png(target, head[i], name.video) for head in maps]
                if poll_stop():
                    return None

        shares = gather(pngs)
        if not shares:
            return []
        together = {key: found for share in shares for key, found in share.items()}
        num_models = len(next(iter(together.values())))
        return [self._of_model(together, model) for model in range(num_models)]

    def _png(self, target: DenseTarget, scores: Tensor, video: str) -> bytes:
        width, height = self.truth.size(video)
        picture = target.picture(scores, (height, width))
        return to_png(to_picture(picture, self.truth.space))

    def _of_model(self, pngs: _Pngs, model: int) -> PredictedMaps:
        """The pictures of one model, in the order of the rows; rows of damaged clips have none."""
        videos = {}
        for video in self.split.videos:
            rows = self.split.rows(video)
            anchors = rows.anchors[:, 0].tolist()
            kept = [row for row, anchor in enumerate(anchors) if (video, anchor) in pngs]
            if not kept:
                raise EvaluationError(
                    f"{video}: expected predictions for {len(anchors)} rows, got none; are its frames "
                    "damaged? run `surgstream verify`"
                )
            found = [pngs[video, anchors[row]][model] for row in kept]
            size = self.truth.size(video)
            videos[video] = (rows.true.seconds[kept], found, [size] * len(found))
        return pack_maps(videos, self.truth.space, f"the {self.split.split} split")

    def main_metric(self, predicted: Predicted) -> float:
        """The task's main metric of a model; NaN where it is undefined."""
        assert isinstance(predicted, PredictedMaps)
        asked = asked_of(self.split, self.task)
        matched, _ = match(predicted.predictions, asked, self.truth.space)
        scored = score_maps(matched, predicted, self.truth)
        statistic = find_metric(self.task.main).compute(scored, self.truth.space)
        return value_of(statistic, len(scored))

    def keep(
        self, run_dir: Path, name: str, predicted: Predicted, about: Mapping[str, Any]
    ) -> Path:
        """Write the pictures of a model to the run's file of this name; see `Judge.keep`."""
        assert isinstance(predicted, PredictedMaps)
        path = predictions_file(run_dir, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_maps(
            path, replace(predicted, predictions=replace(predicted.predictions, about=about))
        )
        return path
