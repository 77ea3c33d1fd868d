"""Readouts that are fitted at once: ridge regression and nearest neighbours."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from surgstream.trainer.evaluation.predictions.stored import Predictions
from surgstream.trainer.features.opening import Extraction
from surgstream.trainer.labelled.clips import SplitClips, TaskClips
from surgstream.trainer.labelled.predicting import keep_predictions
from surgstream.trainer.labelled.scoring import main_metric
from surgstream.trainer.readouts.config import KnnConfig, RidgeConfig
from surgstream.trainer.readouts.neighbours import Neighbours
from surgstream.trainer.readouts.results import (
    Candidate,
    choose,
    finite,
    keep_grid,
    on_the_edge,
)
from surgstream.trainer.readouts.ridge import Ridge
from surgstream.trainer.readouts.rows import (
    VideoRows,
    clip_features,
    clip_targets,
    predictions_of,
    read_rows,
)

log = logging.getLogger(__name__)

Scores = Callable[[Tensor, Sequence[int]], Tensor]
"""From features (m, D) and the numbers of K candidates to their scores (K, m, C)."""


def fit_and_test(
    config: RidgeConfig | KnnConfig,
    extraction: Extraction,
    task: TaskClips,
    run_dir: Path,
    device: torch.device,
    about: Mapping[str, Any],
    *,
    with_test: bool,
) -> None:
    """Fit to the training rows, choose on the validation rows, predict the test rows once, and keep all of it.

    Args:
        config: The readout.
        extraction: Whose store has the features.
        task: The task.
        run_dir: Where results are kept.
        device: Where neighbours are sought; ridge regression is computed on the CPU, in float64.
        about: What is told in the files of predictions.
        with_test: Whether the test rows are predicted.

    Raises:
        EvaluationError: A video has no features, or no candidate has a score.
        FeatureError: A file of features is damaged.
    """
    dataset = task.config.dataset

    def rows(split: SplitClips) -> list[VideoRows]:
        return read_rows(extraction.store, dataset, split)

    train = rows(task.split("train"))
    scores, settings = _fit(config, clip_features(train), clip_targets(train, task.space), device)
    del train

    val = task.split("val")
    predicted: list[Predictions] = []
    candidates = []
    if val.videos:
        val_rows = rows(val)
        everyone = scores(clip_features(val_rows), range(len(settings)))
        predicted = [predictions_of(val_rows, each, task.space, "val") for each in everyone]
    for number, setting in enumerate(settings):
        score = main_metric(predicted[number], val, task.config) if predicted else float("nan")
        candidates.append(Candidate(settings=setting, score=score, details={}))

    chosen = choose(candidates, task.config)
    told = [sentence] if (sentence := on_the_edge(candidates, chosen)) else []
    for sentence in told:
        log.warning("%s", sentence)
    about = {**about, **settings[chosen], "val_score": finite(candidates[chosen].score)}

    keep_grid(run_dir, config.name, task.config, candidates, chosen, told)
    if predicted:
        keep_predictions(run_dir, "val", predicted[chosen], about)
    if with_test:
        test_rows = rows(task.split("test"))
        (test_scores,) = scores(clip_features(test_rows), [chosen])
        test = predictions_of(test_rows, test_scores, task.space, "test")
        # The last to be written: where it is, the test was asked.
        keep_predictions(run_dir, "test", test, about)


def _fit(
    config: RidgeConfig | KnnConfig, features: Tensor, targets: Tensor, device: torch.device
) -> tuple[Scores, list[dict[str, float]]]:
    """Fit, and list what can be chosen from."""
    if isinstance(config, RidgeConfig):
        ridge = Ridge(features, targets)
        penalties = config.penalties

        def of_ridge(features: Tensor, chosen: Sequence[int]) -> Tensor:
            return ridge.scores(features, [penalties[i] for i in chosen])

        return of_ridge, [{"penalty": penalty} for penalty in penalties]

    voters = Neighbours(features.to(device), targets.to(device), config.temperature)
    neighbours = config.neighbours

    def of_neighbours(features: Tensor, chosen: Sequence[int]) -> Tensor:
        return voters.scores(features.to(device), [neighbours[i] for i in chosen]).cpu()

    return of_neighbours, [{"neighbours": k} for k in neighbours]
