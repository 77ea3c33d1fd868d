"""Weighted votes of the nearest rows, by the cosine of features."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

_PRODUCTS_AT_ONCE = 2**25
"""Cosines that are held at once."""


class Neighbours:
    """The k rows of greatest cosine vote with the weight exp(cosine / temperature), as in DINO (arXiv 2104.14294).

    Args:
        features: (n, D), of the rows that vote.
        targets: (n, C), what they vote for.
        temperature: See above.
    """

    def __init__(self, features: Tensor, targets: Tensor, temperature: float) -> None:
        self._features = F.normalize(features.float(), dim=1)
        self._targets = targets.float()
        self._temperature = temperature

    def scores(self, features: Tensor, neighbours: Sequence[int]) -> Tensor:
        """The weighted means of the targets of the k nearest rows; all rows where k is more.

        Args:
            features: (m, D).
            neighbours: K numbers k.

        Returns:
            (K, m, C) float32, probabilities where targets are.
        """
        num_rows = max(1, _PRODUCTS_AT_ONCE // len(self._features))
        most = min(max(neighbours), len(self._features))

        found = []
        for rows in torch.split(features, num_rows):
            cosines, nearest = (F.normalize(rows.float(), dim=1) @ self._features.T).topk(most)
            # In parts of the greatest weight, which may be out of range.
            weights = ((cosines - cosines[:, :1]) / self._temperature).exp()
            found.append(self._votes(weights, nearest, neighbours))
        return torch.cat(found, 1)

    def _votes(self, weights: Tensor, nearest: Tensor, neighbours: Sequence[int]) -> Tensor:
        """(K, rows, C), from weights and numbers of neighbours (rows, most), the nearest first."""
        votes = []
        for k in neighbours:
            w = weights[:, :k, None]
            votes.append((w * self._targets[nearest[:, :k]]).sum(1) / w.sum(1))
        return torch.stack(votes)
