"""Temporal readouts: all networks of a grid over whole videos, shared by the ranks."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from surgstream.shards.keyed_random import hash64
from surgstream.shards.progress import progress_bar
from surgstream.trainer.distributed import RankInfo, barrier
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.predictions.stored import Predictions
from surgstream.trainer.features.opening import Extraction
from surgstream.trainer.labelled.clips import SplitClips, TaskClips
from surgstream.trainer.labelled.predicting import keep_predictions
from surgstream.trainer.labelled.scoring import main_metric
from surgstream.trainer.models.temporal import TemporalNetwork
from surgstream.trainer.readouts.cells import Cell, Cells, Trained, cells_of, fingerprint
from surgstream.trainer.readouts.config import TemporalConfig
from surgstream.trainer.readouts.results import (
    Candidate,
    choose,
    finite,
    keep_grid,
    on_the_edge,
)
from surgstream.trainer.readouts.rows import VideoRows, predictions_of, read_rows
from surgstream.trainer.readouts.temporal import Kind, LabelledVideo, build, predict, train

log = logging.getLogger(__name__)

_EPS = 1e-6


class TemporalGrid:
    """Trains the networks of a grid, and predicts with those of the chosen learning rate.

    Features are standardised by the mean and the deviation of the training rows.
    """

    def __init__(
        self,
        config: TemporalConfig,
        extraction: Extraction,
        task: TaskClips,
        *,
        run_dir: Path,
        seed: int,
        rank_info: RankInfo,
    ) -> None:
        """Read the features of the videos to train on and to choose by.

        Args:
            config: The readout.
            extraction: Whose store has the features.
            task: The task, which labels frames.
            run_dir: The run's directory.
            seed: The run's seed.
            rank_info: This rank's place.

        Raises:
            EvaluationError: A video has no features.
            FeatureError: A file of features is damaged.
        """
        self._config = config
        self._store = extraction.store
        self._task = task
        self._run_dir = run_dir
        self._seed = seed
        self._rank_info = rank_info
        self._kind: Kind = "class" if task.space.kind == "class" else "multilabel"

        rows = self._read(task.split("train"))
        self._val = self._read(task.split("val"))
        of = fingerprint(config, seed, self._store.spec.key, (rows, self._val))
        self._cells = Cells(run_dir, of)

        features = torch.cat([torch.from_numpy(video.features[:, 0]) for video in rows])
        std, self._mean = torch.std_mean(features.double(), 0, correction=0)
        self._std = std + _EPS
        self._train = [self._labelled(video) for video in rows]

    def train(self, beat: Callable[[], None], stopping: Callable[[], bool]) -> bool:
        """Train the networks that are not there yet, each rank some of them.

        Args:
            beat: Called after every step.
            stopping: Whether all ranks stop; called by each equally often, after each of its networks.

        Returns:
            Whether all are trained: false where it was told to stop.
        """
        cells = list(cells_of(self._config))
        world_size = self._rank_info.world_size
        mine = cells[self._rank_info.rank :: world_size]
        num_rounds = -(-len(cells) // world_size)

        shown = self._rank_info.is_main
        with progress_bar("networks", len(mine), unit=" networks", shown=shown) as bar:
            for number in range(num_rounds):
                for cell in mine[number : number + 1]:
                    if self._cells.load(cell) is None:
                        self._cells.save(cell, self._trained(cell, beat))
                    bar.update()
                if stopping():
                    return False
        barrier()
        return True

    def finish(self, about: Mapping[str, Any], *, with_test: bool) -> None:
        """Choose the learning rate, predict the test videos once with each of its seeds, and keep all of it.

        Args:
            about: What is told in the files of predictions.
            with_test: Whether the test videos are predicted.

        Raises:
            EvaluationError: A video has no features, or no learning rate has a score.
        """
        lrs = self._config.lrs
        candidates = [self._candidate(lr) for lr in lrs]
        chosen = choose(candidates, self._task.config)
        told = [sentence] if (sentence := on_the_edge(candidates, chosen)) else []
        told += [f"lr {lr:g} diverged with some seeds" for lr in lrs if self._diverged(lr)]
        for sentence in told:
            log.warning("%s", sentence)

        if self._diverged(lrs[chosen]):
            raise EvaluationError(
                f"readout.lrs: expected networks that do not diverge, got some that do at {lrs[chosen]:g}, the "
                "only rate; take a lower one in another run_dir"
            )
        keep_grid(self._run_dir, self._config.name, self._task.config, candidates, chosen, told)

        about = {**about, "val_score": finite(candidates[chosen].score)}
        splits = {"val": self._val}
        if with_test:
            splits["test"] = self._read(self._task.split("test"))
        for seed in self._config.seeds:
            network = self._network(Cell(lrs[chosen], seed))
            for split, rows in splits.items():
                if rows:
                    made_by = {**about, "lr": lrs[chosen], "network_seed": seed}
                    predictions = self._predicted(network, rows, split)
                    keep_predictions(self._run_dir, f"{split}_seed{seed}", predictions, made_by)

    def _trained(self, cell: Cell, beat: Callable[[], None]) -> Trained:
        key = int(hash64(self._seed, cell.seed))
        network = self._untrained(key)
        is_sound = train(network, self._train, self._config, lr=cell.lr, key=key, beat=beat)
        if not is_sound:
            log.warning("lr %g, seed %d: the network diverged", *cell)
            return Trained(math.nan, {})

        score = math.nan
        if self._val:
            predictions = self._predicted(network, self._val, "val")
            score = main_metric(predictions, self._task.split("val"), self._task.config)
        log.info("lr %g, seed %d: %s %.4f on val", *cell, self._task.config.main, score)
        weights = {name: t.detach().cpu() for name, t in network.state_dict().items()}
        return Trained(score, weights)

    def _candidate(self, lr: float) -> Candidate:
        """A learning rate, by the mean over its seeds; without a score where one of them has none."""
        scores = {str(seed): self._kept(Cell(lr, seed)).score for seed in self._config.seeds}
        seeds = {seed: finite(score) for seed, score in scores.items()}
        return Candidate(
            settings={"lr": lr}, score=fmean(scores.values()), details={"seeds": seeds}
        )

    def _diverged(self, lr: float) -> bool:
        return not all(self._kept(Cell(lr, seed)).weights for seed in self._config.seeds)

    def _kept(self, cell: Cell) -> Trained:
        found = self._cells.load(cell)
        assert found, "trained by now"
        return found

    def _network(self, cell: Cell) -> TemporalNetwork:
        network = self._untrained(key=0)
        network.load_state_dict(dict(self._kept(cell).weights))
        return network

    def _untrained(self, key: int) -> TemporalNetwork:
        num_features = len(self._mean)
        num_classes = len(self._task.space.classes)
        network = build(self._config, num_features, num_classes, self._kind, key)
        return network.to(self._rank_info.device)

    def _predicted(
        self, network: TemporalNetwork, rows: Sequence[VideoRows], split: str
    ) -> Predictions:
        scores = [predict(network, self._labelled(video).features) for video in rows]
        return predictions_of(rows, torch.cat(scores), self._task.space, split)

    def _read(self, split: SplitClips) -> list[VideoRows]:
        return read_rows(self._store, self._task.config.dataset, split)

    def _labelled(self, video: VideoRows) -> LabelledVideo:
        """A video on this rank's device, its features standardised."""
        device = self._rank_info.device
        features = (torch.from_numpy(video.features[:, 0]).double() - self._mean) / self._std
        truth = torch.from_numpy(video.truth)
        if self._kind == "multilabel":
            truth = truth.float()
        return LabelledVideo(features.float().to(device), truth.to(device))
