"""A readout of the features that is fitted to a task's training videos, and judged by its validation videos."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from surgstream.configs.errors import ConfigError
from surgstream.trainer.batch import ClipName
from surgstream.trainer.distributed import RankInfo, all_gather, from_main
from surgstream.trainer.evaluation.metrics.catalogue import find_metric
from surgstream.trainer.evaluation.metrics.samples import ScoredVideo
from surgstream.trainer.evaluation.metrics.statistic import value_of
from surgstream.trainer.evaluation.predictions.yardsticks import CONSTANT, yardsticks
from surgstream.trainer.labelled.clips import SplitClips, TaskClips
from surgstream.trainer.probing.config import ProbeConfig
from surgstream.trainer.probing.linear_probe import RIDGES, folds_of
from surgstream.trainer.probing.tasks.attentive import AttentiveReadouts, Tokens
from surgstream.trainer.probing.tasks.clips import Encode, PollStop, SomeClips, scored
from surgstream.trainer.readouts.banks.targets import target_of
from surgstream.trainer.readouts.ridge import Ridge
from surgstream.trainer.readouts.rows import targets_of


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskProbe:
    """The online probe on a task.

    Attributes:
        settings: The probe.
        task: The task.
        fit: Clips of training videos.
        judge: Clips of validation videos.
        seed: The run's seed.
        micro_batch_size: Clips that a rank computes at once.
        rank_info: This rank's place.
    """

    settings: ProbeConfig
    task: TaskClips
    fit: SomeClips
    judge: SomeClips
    seed: int
    micro_batch_size: int
    rank_info: RankInfo

    def measure(
        self, embed: Encode, embed_tokens: Encode, poll_stop: PollStop = lambda: False
    ) -> dict[str, float]:
        """Fit and judge; collective.

        Args:
            embed: From clips (B, C, T, H, W) to features (B, D).
            embed_tokens: From clips to tokens (B, N, D).
            poll_stop: Whether all ranks are to stop; called after every micro-batch, and every step of readouts that
                are trained in steps.

        Returns:
            The task's main metric by its name, and `..._of_constant`, that of always predicting what is best for the
            training videos, both over the rows that are predicted; without what is undefined. Empty when stopped, or,
            with a warning, where all readouts diverged.
        """
        predict = self._attentive if self.settings.readout == "attentive" else self._linear
        predicted = predict(
            embed_tokens if self.settings.readout == "attentive" else embed, poll_stop
        )
        if predicted is None:
            return {}
        names, outputs = predicted
        return from_main(lambda: self._metrics(names, outputs))

    def _linear(self, embed: Encode, poll_stop: PollStop) -> tuple[list[ClipName], Tensor] | None:
        fit = self.fit.encoded(embed, poll_stop)
        judged = self.judge.encoded(embed, poll_stop) if fit else None
        if fit is None or judged is None:
            return None

        fitted, features = _gathered(*fit)
        names, others = _gathered(*judged)
        targets = targets_of(torch.from_numpy(self.task.truth(fitted)), self.task.space)
        return names, ridge_scores(features, targets, [name.video for name in fitted], others)

    def _attentive(
        self, embed_tokens: Encode, poll_stop: PollStop
    ) -> tuple[list[ClipName], Tensor] | None:
        fit = self.fit.encoded(lambda clips: _as_computed(embed_tokens(clips)), poll_stop)
        if fit is None:
            return None

        names, tokens = fit
        shares = all_gather([name.video for name in names])
        clips = Tokens(
            tokens=tokens,
            labels=torch.from_numpy(self.task.truth(names)),
            first=sum(map(len, shares[: self.rank_info.rank])),
            videos=[*chain.from_iterable(shares)],
        )
        readouts = AttentiveReadouts(
            self.settings,
            target_of(self.fit.split, smoothing=0.0),
            width=tokens.shape[-1],
            seed=self.seed,
            micro_batch_size=self.micro_batch_size,
            device=self.rank_info.device,
        )
        if not readouts.fit(clips, poll_stop):
            return None

        judged = self.judge.encoded(
            lambda clips: readouts.scores(_as_computed(embed_tokens(clips))), poll_stop
        )
        return _gathered(*judged) if judged else None

    def _metrics(self, names: Sequence[ClipName], outputs: Tensor) -> dict[str, float]:
        config = self.task.config
        split = self.judge.split
        videos = scored(split, config.group_of(), names, outputs.double().numpy())
        train = [self.fit.split.rows(video).true for video in self.fit.split.videos]
        constant = yardsticks(train, {video.video: video for video in videos}, split.space)[
            CONSTANT
        ]

        found = {
            config.main: self._metric(videos),
            f"{config.main}_of_constant": self._metric(constant),
        }
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def _metric(self, videos: Sequence[ScoredVideo]) -> float:
        metric = find_metric(self.task.config.main)
        if metric.needs == "scores" and any(video.scores is None for video in videos):
            return math.nan
        return value_of(metric.compute(videos, self.task.space), len(videos))


def check_split(split: SplitClips) -> None:
    """Make sure that a split has videos to fit to, or to judge by.

    Raises:
        ConfigError: It has none.
    """
    if not split.videos:
        kind = "validation" if split.split == "val" else "training"
        raise ConfigError(
            f"probe.task: expected one with labelled {kind} videos, as the test is not asked while "
            "training, got one without"
        )


def ridge_scores(
    features: Tensor, targets: Tensor, videos: Sequence[str], others: Tensor
) -> Tensor:
    """Fit ridge regression, and predict with it.

    The penalty is the one of `RIDGES`, in parts of the covariance's trace, that has the least squared error on videos
    that are left out, a fifth of them at a time.

    Args:
        features: (n, D).
        targets: (n, C).
        videos: The videos of these clips.
        others: (m, D), to predict.

    Returns:
        (m, C) float64.
    """
    penalties = [ridge * features.shape[1] for ridge in RIDGES]
    folds = folds_of(videos)
    errors = torch.zeros(len(penalties), dtype=torch.float64)
    for fold in range(int(folds.max()) + 1):
        kept = folds != fold
        if kept.any():
            predicted = Ridge(features[kept], targets[kept]).scores(features[~kept], penalties)
            errors += (predicted - targets[~kept].double()).square().sum((1, 2))

    best = penalties[int(errors.argmin())]
    return Ridge(features, targets).scores(others, [best])[0]


def _gathered(names: Sequence[ClipName], values: Tensor) -> tuple[list[ClipName], Tensor]:
    """What all ranks have, on every rank; the first rank has the first clips."""
    shares = all_gather(([*names], values.float().numpy()))
    all_names = [*chain.from_iterable(share for share, _ in shares)]
    return all_names, torch.from_numpy(np.concatenate([share for _, share in shares]))


def _as_computed(tokens: Tensor) -> Tensor:
    """Tokens in the precision of matrix products, which a last norm leaves in another."""
    kind = tokens.device.type
    if torch.is_autocast_enabled(kind):
        return tokens.to(torch.get_autocast_dtype(kind))
    return tokens
