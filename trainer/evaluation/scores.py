"""Scores of predicted labels, one a clip."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np


def accuracy(predicted: Sequence[str], true: Sequence[str]) -> float:
    """The share of labels that are predicted right, at least one label."""
    hits = [guess == label for guess, label in zip(predicted, true, strict=True)]
    return float(np.mean(hits))


def balanced_accuracy(predicted: Sequence[str], true: Sequence[str]) -> float:
    """The accuracy on the clips of each true label, averaged over these labels."""
    hits: dict[str, list[bool]] = defaultdict(list)
    for guess, label in zip(predicted, true, strict=True):
        hits[label].append(guess == label)
    return float(np.mean([np.mean(hits[label]) for label in sorted(hits)]))
