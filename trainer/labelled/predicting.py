"""Predictions for all clips of a split, by all ranks together, and the files of a run that keep them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from surgstream.trainer.data.config import View
from surgstream.trainer.data.source import ClipSource
from surgstream.trainer.evaluation.predictions.stored import Predictions, write_predictions
from surgstream.trainer.labelled.clips import SplitClips
from surgstream.trainer.labelled.collecting import Collector
from surgstream.trainer.runs.files import predictions_file

Scores = Callable[[Tensor], Tensor]
"""From clips (B, C, T, H, W) to what M models say of them, (M, B, C)."""


def predict(
    split: SplitClips,
    source: ClipSource,
    views: Sequence[View],
    scores: Scores,
    poll_stop: Callable[[], bool],
) -> Collector | None:
    """Predict every clip of a split once in each view, dealt to the ranks; collective.

    Args:
        split: The clips.
        source: Opens them.
        views: What is seen of each.
        scores: The models.
        poll_stop: Whether all ranks are to stop; called after every micro-batch.

    Returns:
        What this rank has predicted, to be gathered; None when told to stop.
    """
    collected = Collector(split, len(views))
    for view in views:
        with source.open_pass(view=view) as batches:
            for batch in batches:
                found = scores(batch.clips).float().cpu().numpy()
                collected.add(batch.names, batch.valid, found)
                if poll_stop():
                    return None
    return collected


def keep_predictions(
    run_dir: Path, name: str, predictions: Predictions, about: Mapping[str, Any]
) -> Path:
    """Write predictions to the run's file of this name, whole or not at all; returns the file."""
    path = predictions_file(run_dir, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_predictions(path, replace(predictions, about=about))
    return path
