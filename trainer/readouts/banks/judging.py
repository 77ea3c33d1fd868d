"""The heads' predictions for a split, and the files in which they are kept."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surgstream.configs.files import write_atomically
from surgstream.trainer.data.config import View
from surgstream.trainer.data.source import ClipSource
from surgstream.trainer.distributed import from_main
from surgstream.trainer.evaluation.predictions.maps import PredictedMaps
from surgstream.trainer.evaluation.predictions.stored import Predictions
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.labelled.clips import SplitClips
from surgstream.trainer.labelled.predicting import keep_predictions, predict
from surgstream.trainer.labelled.scoring import main_metric

TEST_ALL = "test_all.json"


Predicted = Predictions | PredictedMaps
"""What a model has predicted for a split."""


@dataclass(frozen=True, eq=False)
class Judge:
    """Predicts the clips of a split.

    Attributes:
        task: The task.
        split: The clips.
        source: Opens them.
        views: What is seen of each; the predictions of views are averaged.
    """

    task: TaskConfig
    split: SplitClips
    source: ClipSource
    views: Sequence[View]

    def predict(
        self,
        encode: Callable[[Tensor], Tensor],
        models: Sequence[Callable[[Tensor], Tensor]],
        poll_stop: Callable[[], bool],
    ) -> list[Predicted] | None:
        """Predict all clips, shared by the ranks; collective.

        Args:
            encode: From clips to what the models take.
            models: From that to scores (K, B, C).
            poll_stop: Whether all ranks are to stop; called after every micro-batch.

        Returns:
            The predictions of all models together, on rank 0, on the others none; None when told to stop.
        """

        def scores(clips: Tensor) -> Tensor:
            encoded = encode(clips)
            return torch.cat([model(encoded) for model in models])

        collected = predict(self.split, self.source, self.views, scores, poll_stop)
        return [*collected.gather()] if collected else None

    def score(
        self, predictions: Sequence[Predicted], counted: Sequence[bool]
    ) -> list[float | None]:
        """The main metric of each model, on every rank; None where it is undefined, or does not count. Collective."""

        def scores() -> list[float | None]:
            found = [
                self.main_metric(predicted) if counts else np.nan
                for predicted, counts in zip(predictions, counted, strict=True)
            ]
            return [float(value) if np.isfinite(value) else None for value in found]

        return from_main(scores)

    def main_metric(self, predicted: Predicted) -> float:
        """The task's main metric of a model; NaN where it is undefined."""
        assert isinstance(predicted, Predictions)
        return main_metric(predicted, self.split, self.task)

    def keep(
        self, run_dir: Path, name: str, predicted: Predicted, about: Mapping[str, Any]
    ) -> Path:
        """Write what a model has predicted to the run's file of this name, whole or not at all; returns the file."""
        assert isinstance(predicted, Predictions)
        return keep_predictions(run_dir, name, predicted, about)


def keep_json(run_dir: Path, name: str, content: Mapping[str, Any]) -> None:
    """Write what was found to the run directory, whole or not at all."""
    write_atomically(run_dir / name, json.dumps(dict(content), indent=1) + "\n")
