"""An online probe: a linear readout of frozen features, fitted to labels that the model is not trained on.

Each clip has one label, that of its last frame. A ridge classifier is fitted to the features of some clips and tested
on videos it has not seen. It costs a forward pass of these clips, and shows what a loss cannot, least of all a loss
that rises while the model learns, as that of a JEPA may.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from surgstream.shards.reading.frame_labels import FrameLabels
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.trainer.data.source import ClipSource
from surgstream.trainer.distributed import all_gather
from surgstream.trainer.evaluation.scores import accuracy, balanced_accuracy
from surgstream.trainer.readouts.ridge import Ridge

log = logging.getLogger(__name__)

RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Penalties to choose from, in parts of the trace of the standardised features' covariance."""

_FOLDS = 5

Represent = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Features of labelled clips.

    Attributes:
        features: (num, D) float32 on the CPU.
        labels: The label of each clip.
        videos: The video of each clip, as `dataset/video`.
    """

    features: Tensor
    labels: tuple[str, ...]
    videos: tuple[str, ...]


class ClipsWithLabels:
    """Some clips of a corpus, always the same ones, evenly spread.

    Args:
        source: Loads the clips.
        corpus: Their corpus.
        kind: The kind of label.
        num_clips: How many at most; clips without a label are left out.
    """

    def __init__(self, source: ClipSource, corpus: FrameTable, kind: str, num_clips: int) -> None:
        self._source = source
        self._num_clips = num_clips
        self.what = f"{kind} in {corpus.storage.uri}"
        sizes = corpus.sizes()
        self._names = [size.name for size in sizes]
        self._starts = [*accumulate((size.num_clips for size in sizes), initial=0)]
        self._labels = FrameLabels(corpus, kind)

    def encoded(self, represent: Represent, poll_stop: Callable[[], bool]) -> Labelled | None:
        """Encode all clips, shared by the ranks; collective, and every rank gets all. None when told to stop."""
        found: list[tuple[str, str]] = []
        features: list[npt.NDArray[np.float32]] = []

        with self._source.open_pass(self._num_clips) as batches:
            for batch in batches:
                kept = []
                for i in np.flatnonzero(batch.valid).tolist():
                    label = self._label(batch.draws[i])
                    if label is not None:
                        name = batch.names[i]
                        kept.append(i)
                        found.append((label, f"{name.dataset}/{name.video}"))
                encoded = represent(batch.clips)[kept]
                features.append(encoded.float().cpu().numpy())
                if poll_stop():
                    return None

        # The first rank has the first clips.
        shares = all_gather((np.concatenate(features), found))
        all_features = np.concatenate([share for share, _ in shares])
        all_found = list(chain.from_iterable(rows for _, rows in shares))
        return Labelled(
            features=torch.from_numpy(all_features),
            labels=tuple(label for label, _ in all_found),
            videos=tuple(video for _, video in all_found),
        )

    def _label(self, g: int) -> str | None:
        dataset = int(np.searchsorted(self._starts, g, side="right")) - 1
        (label,) = self._labels.of(self._names[dataset], [g - self._starts[dataset]])
        return label


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear readout that is fitted to some clips and tested on clips of other videos."""

    fit: ClipsWithLabels
    test: ClipsWithLabels

    def measure(
        self, represent: Represent, poll_stop: Callable[[], bool] = lambda: False
    ) -> dict[str, float]:
        """Fit and test; collective.

        Args:
            represent: From clips (B, C, T, H, W) to features (B, D).
            poll_stop: Whether all ranks are to stop; called after every micro-batch.

        Returns:
            `accuracy` over clips, `balanced_accuracy` (the mean over labels), and the accuracy of always predicting the
            most frequent label among the clips to fit, `accuracy_of_majority`. Empty when stopped, or, with a warning,
            where labels are missing.
        """
        fit = self.fit.encoded(represent, poll_stop)
        test = self.test.encoded(represent, poll_stop) if fit else None
        if fit is None or test is None:
            return {}

        num_fitted = len(set(fit.labels))
        num_tested = len(set(test.labels))
        if num_fitted < 2 or num_tested == 0:
            log.warning(
                "probe: expected at least 2 labels of %s and 1 of %s, got %d and %d; "
                "see probe.label",
                self.fit.what,
                self.test.what,
                num_fitted,
                num_tested,
            )
            return {}

        predicted = linear_probe(fit, test.features)
        # Sorted, so that of equally frequent labels every run takes the same one.
        majority = max(sorted(set(fit.labels)), key=fit.labels.count)
        return {
            "accuracy": accuracy(predicted, test.labels),
            "balanced_accuracy": balanced_accuracy(predicted, test.labels),
            "accuracy_of_majority": test.labels.count(majority) / len(test.labels),
        }


def linear_probe(fit: Labelled, features: Tensor) -> list[str]:
    """Fit a ridge classifier, and predict labels with it.

    Features are standardised by the mean and deviation of the fitted ones. Each label has a linear score, fitted by
    least squares to 1 where it is the clip's and 0 elsewhere; the highest score decides. The penalty is the one of
    `RIDGES` that does best on videos that are left out, a fifth of them at a time.

    Args:
        fit: Labelled features.
        features: (num, D), to predict labels of.

    Returns:
        A label for each.
    """
    names = sorted(set(fit.labels))
    truth = torch.tensor([names.index(label) for label in fit.labels])
    one_hot = torch.nn.functional.one_hot(truth, len(names))

    penalty = _best_penalty(fit.features, one_hot, folds_of(fit.videos))
    (scores,) = Ridge(fit.features, one_hot).scores(features, [penalty])
    return [names[i] for i in scores.argmax(1).tolist()]


def folds_of(videos: Sequence[str]) -> Tensor:
    """The fold (num,) of each clip. Clips of one video are alike, so a video is left out as a whole."""
    names = sorted(set(videos))
    return torch.tensor([names.index(video) % _FOLDS for video in videos])


def _best_penalty(features: Tensor, one_hot: Tensor, folds: Tensor) -> float:
    """The penalty that predicts most labels of left-out folds right."""
    # The trace of the covariance of standardised features is their number.
    penalties = [ridge * features.shape[1] for ridge in RIDGES]
    hits = torch.zeros(len(penalties))
    for fold in range(int(folds.max()) + 1):
        kept = folds != fold
        left_out = ~kept
        if kept.any():
            scores = Ridge(features[kept], one_hot[kept]).scores(features[left_out], penalties)
            hits += (scores.argmax(-1) == one_hot[left_out].argmax(-1)).sum(1)
    return penalties[int(hits.argmax())]
