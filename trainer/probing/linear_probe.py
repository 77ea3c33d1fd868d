"""An online probe: what a linear readout of frozen features knows of labels that nobody trained on.

One clip, one label, that of its last frame. A ridge classifier is fitted to the features of some clips and asked about
videos it has not seen. It costs a forward pass of these clips, and says what a loss cannot, least of all one that rises
while it learns, as that of a JEPA may.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from surgstream.shards.reading.frame_labels import FrameLabels
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.trainer.data.source import ClipSource
from surgstream.trainer.distributed import all_gather

log = logging.getLogger(__name__)

RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Penalties to choose from: what is added to the eigenvalues of the standardised features' mean covariance."""

_FOLDS = 5
_EPS = 1e-6

Represent = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Features of labelled clips.

    Attributes:
        features: (num, D) float32 on the CPU.
        labels: What each clip shows.
        videos: Where each is from, as `dataset/video`.
    """

    features: Tensor
    labels: tuple[str, ...]
    videos: tuple[str, ...]


class ClipsWithLabels:
    """Some clips of a corpus, always the same ones, evenly spread.

    Args:
        source: Loads them.
        corpus: Their corpus.
        kind: Of label.
        num_clips: How many at most; those without a label are left out.
    """

    def __init__(self, source: ClipSource, corpus: FrameTable, kind: str, num_clips: int) -> None:
        self._source, self._num_clips = source, num_clips
        self.what = f"{kind} in {corpus.storage.uri}"
        sizes = corpus.sizes()
        self._names = [size.name for size in sizes]
        self._starts = [*accumulate((size.num_clips for size in sizes), initial=0)]
        self._labels = FrameLabels(corpus, kind)

    def encoded(self, represent: Represent, stopping: Callable[[], bool]) -> Labelled | None:
        """Encode them all, shared by the ranks; collective, and every rank gets all. None when asked to stop."""
        found: list[tuple[str, str]] = []
        features: list[npt.NDArray[np.float32]] = []

        with self._source.open_pass(self._num_clips) as batches:
            for batch in batches:
                labels = [
                    self._label(g) if valid else None
                    for g, valid in zip(batch.g, batch.valid, strict=True)
                ]
                kept = [i for i, label in enumerate(labels) if label is not None]
                features.append(represent(batch.clips)[kept].float().cpu().numpy())
                found += [
                    (str(labels[i]), f"{batch.names[i].dataset}/{batch.names[i].video}")
                    for i in kept
                ]
                if stopping():
                    return None

        shares = all_gather((np.concatenate(features), found))  # the first rank has the first clips
        rows = [row for _, share in shares for row in share]
        return Labelled(
            features=torch.from_numpy(np.concatenate([share for share, _ in shares])),
            labels=tuple(label for label, _ in rows),
            videos=tuple(video for _, video in rows),
        )

    def _label(self, g: int) -> str | None:
        dataset = int(np.searchsorted(self._starts, g, side="right")) - 1
        (label,) = self._labels.of(self._names[dataset], [g - self._starts[dataset]])
        return label


@dataclass(frozen=True, eq=False)
class Probe:
    """Clips to fit a linear readout to, and clips of other videos to ask it about."""

    fit: ClipsWithLabels
    test: ClipsWithLabels

    def measure(
        self, represent: Represent, stopping: Callable[[], bool] = lambda: False
    ) -> dict[str, float]:
        """Fit and ask; collective.

        Args:
            represent: From clips (B, C, T, H, W) to features (B, D).
            stopping: Whether all ranks are to make way; asked after every micro-batch.

        Returns:
            `accuracy` over clips, `balanced_accuracy` (the mean over labels), and what the most frequent label among
            the clips to fit would score, `accuracy_of_majority`. Nothing when stopped, or, with a warning, without any
            labels.
        """
        fit = self.fit.encoded(represent, stopping)
        test = self.test.encoded(represent, stopping) if fit else None
        if fit is None or test is None:
            return {}

        if len(set(fit.labels)) < 2 or not test.labels:
            log.warning(
                "probe: expected two labels or more of %s and one of %s, got %d and %d; see probe.label",
                self.fit.what, self.test.what, len(set(fit.labels)), len(set(test.labels)),
            )  # fmt: skip
            return {}

        said = linear_probe(fit, test.features)
        # Sorted, so that of equally frequent labels every run takes the same one.
        majority = max(sorted(set(fit.labels)), key=fit.labels.count)
        hits = {
            label: [
                said == true for said, true in zip(said, test.labels, strict=True) if true == label
            ]
            for label in sorted(set(test.labels))
        }

        return {
            "accuracy": float(np.mean([hit for found in hits.values() for hit in found])),
            "balanced_accuracy": float(np.mean([np.mean(found) for found in hits.values()])),
            "accuracy_of_majority": test.labels.count(majority) / len(test.labels),
        }


def linear_probe(fit: Labelled, features: Tensor) -> list[str]:
    """Fit a ridge classifier and ask it.

    Features are standardised by what is fitted. Each label has a linear score, fitted by least squares to 1 where it is
    the clip's and 0 elsewhere; the highest counts. The penalty is that of `RIDGES` which does best on videos that are
    left out, a fifth of them at a time.

    Args:
        fit: Labelled features.
        features: (num, D), what to ask about.

    Returns:
        A label for each.
    """
    std, mean = torch.std_mean(fit.features.double(), dim=0)
    fitted, asked = ((rows.double() - mean) / (std + _EPS) for rows in (fit.features, features))
    names, videos = sorted(set(fit.labels)), sorted(set(fit.videos))
    truth = torch.tensor([names.index(label) for label in fit.labels])
    one_hot = torch.nn.functional.one_hot(truth, len(names)).double()

    # In kernel form, (num, num): the cost grows with the clips, not with the width.
    gram = fitted @ fitted.T / fitted.shape[1]
    # Clips of one video are alike, so a video is left out as a whole.
    fold, hits = (
        torch.tensor([videos.index(video) % _FOLDS for video in fit.videos]),
        torch.zeros(len(RIDGES)),
    )

    for number in range(min(_FOLDS, len(videos))):
        kept, left = (
            torch.nonzero(fold != number).flatten(),
            torch.nonzero(fold == number).flatten(),
        )
        if kept.numel():
            scores = _scores(gram[kept][:, kept], one_hot[kept], gram[left][:, kept], RIDGES)
            hits += (scores.argmax(-1) == truth[left]).sum(1)

    best = RIDGES[int(hits.argmax())]
    (scores,) = _scores(gram, one_hot, asked @ fitted.T / fitted.shape[1], [best])
    return [names[i] for i in scores.argmax(1).tolist()]


def _scores(gram: Tensor, one_hot: Tensor, asked: Tensor, ridges: Sequence[float]) -> Tensor:
    """Kernel ridge regression, (num ridges, num asked, num labels), from the products of what is asked and fitted."""
    # One decomposition serves all penalties.
    values, vectors = torch.linalg.eigh(gram)
    base = one_hot.mean(0)
    along = vectors.T @ (one_hot - base)
    penalties = torch.tensor(ridges, dtype=gram.dtype)[:, None] * len(gram)
    scores: Tensor = (
        asked @ vectors @ (along / (values.clamp(min=0.0) + penalties)[..., None]) + base
    )
    return scores
