"""Ridge regression, against normal equations and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as Reference

from surgstream.trainer.readouts import ridge
from surgstream.trainer.readouts.ridge import Ridge

PENALTIES = (1e-3, 0.1, 10.0)


def made(num: int, width: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = 50 + torch.randn(num, width, generator=generator) @ torch.randn(
        width, width, generator=generator
    )
    targets = torch.randn(num, 3, generator=generator)
    return features, targets


@pytest.mark.parametrize(("num", "width"), [(40, 7), (7, 40), (12, 12), (1, 3)])
def test_it_is_what_scikit_learn_says_of_standardised_features(
    num: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ridge, "_ROWS_AT_ONCE", 5)
    features, targets = made(num, width, seed=1)
    tested, _ = made(9, width, seed=2)
    mean, std = features.double().mean(0), features.double().std(0, correction=0) + 1e-6

    found = Ridge(features, targets).scores(tested, PENALTIES)
    assert found.shape == (3, 9, 3)
    for penalty, scores in zip(PENALTIES, found, strict=True):
        reference = Reference(alpha=penalty * num, solver="svd")
        reference.fit(((features.double() - mean) / std).numpy(), targets.double().numpy())
        expected = reference.predict(((tested.double() - mean) / std).numpy())
        np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-6, atol=1e-8)


def test_scores_of_classes_add_up_to_one() -> None:
    features, _ = made(30, 6, seed=3)
    one_hot = torch.nn.functional.one_hot(torch.arange(30) % 4)
    scores = Ridge(features, one_hot).scores(made(8, 6, seed=4)[0], PENALTIES)
    np.testing.assert_allclose(scores.sum(-1).numpy(), 1.0, atol=1e-9)
