"""Ridge regression of targets on standardised features, for many penalties at once."""

from collections.abc import Sequence

import torch
from torch import Tensor

_ROWS_AT_ONCE = 8192
_EPS = 1e-6


class Ridge:
    """Weights W and intercepts b that minimise, of n rows, mean |y - b - W z|^2 + penalty |W|^2.

    z are the features, standardised by the mean and the deviation of the fitted ones, and b is the mean of the targets.
    One eigendecomposition serves all penalties: of the covariance (D, D), or, where rows are no more than features, of
    the products of the rows (n, n). All is computed in float64, some rows at a time.

    Args:
        features: (n, D), n at least 1.
        targets: (n, C).
    """

    def __init__(self, features: Tensor, targets: Tensor) -> None:
        num_rows, width = features.shape
        self._standardise(features)
        self._base = targets.double().mean(0)
        if num_rows <= width:
            self._solve_by_rows(features, targets)
        else:
            self._solve_by_features(features, targets)

    def weights(self, penalty: float) -> Tensor:
        """W for a penalty, which is added to the eigenvalues of the covariance: (D, C)."""
        weights: Tensor = self._directions @ (self._along / (self._values + penalty)[:, None])
        return weights

    def scores(self, features: Tensor, penalties: Sequence[float]) -> Tensor:
        """What is predicted of other rows: (P, m, C) float64 for P penalties and features (m, D)."""
        weights = torch.stack([self.weights(penalty) for penalty in penalties])
        found = [
            self._standardised(rows) @ weights for rows in torch.split(features, _ROWS_AT_ONCE)
        ]
        return torch.cat(found, 1) + self._base

    def _standardise(self, features: Tensor) -> None:
        """Find the mean and the deviation of each feature, the mean first, so that nothing cancels."""
        num_rows = len(features)
        chunks = torch.split(features, _ROWS_AT_ONCE)
        self._mean = sum((rows.double().sum(0) for rows in chunks), torch.zeros(())) / num_rows
        squares = sum(
            ((rows.double() - self._mean).square().sum(0) for rows in chunks), torch.zeros(())
        )
        self._std = (squares / num_rows).sqrt() + _EPS

    def _standardised(self, rows: Tensor) -> Tensor:
        return (rows.double() - self._mean) / self._std

    def _solve_by_features(self, features: Tensor, targets: Tensor) -> None:
        num_rows, width = features.shape
        covariance = torch.zeros(width, width, dtype=torch.float64)
        products = torch.zeros(width, targets.shape[1], dtype=torch.float64)
        chunks = zip(
            torch.split(features, _ROWS_AT_ONCE), torch.split(targets, _ROWS_AT_ONCE), strict=True
        )
        for rows, wanted in chunks:
            z = self._standardised(rows)
            covariance += z.T @ z / num_rows
            products += z.T @ (wanted.double() - self._base) / num_rows

        values, self._directions = torch.linalg.eigh(covariance)
        self._values = values.clamp(min=0.0)
        self._along = self._directions.T @ products

    def _solve_by_rows(self, features: Tensor, targets: Tensor) -> None:
        num_rows = len(features)
        z = self._standardised(features)
        values, vectors = torch.linalg.eigh(z @ z.T / num_rows)
        self._values = values.clamp(min=0.0)
        self._directions = z.T @ vectors
        self._along = vectors.T @ (targets.double() - self._base) / num_rows
