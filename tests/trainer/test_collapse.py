"""Diversity of features with known answers, and when its lack is warned of."""

import logging
import math

import pytest
import torch

from trainer.engine.collapse import diversity, warn_of_collapse


def measured(vectors: torch.Tensor) -> dict[str, float]:
    return {name: value.item() for name, value in diversity(vectors).items()}


def test_orthogonal_vectors_fill_their_dimensions() -> None:
    found = measured(torch.eye(8) * torch.tensor([3.0] * 8))
    assert found["effective_rank"] == pytest.approx(8.0)
    assert found["mean_cosine"] == pytest.approx(0.0, abs=1e-6)
    assert found["std"] == pytest.approx(3 * math.sqrt((1 / 8 - 1 / 64) * 8 / 7))


def test_one_vector_again_and_again_is_a_collapse() -> None:
    found = measured(torch.tensor([[1.0, -2.0, 0.5]]).repeat(100, 1))
    assert found == pytest.approx({"std": 0.0, "effective_rank": 1.0, "mean_cosine": 1.0}, abs=1e-3)


def test_rank_and_cosine_by_their_definitions() -> None:
    vectors = (
        torch.randn(50, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([5.0, 1, 1, 1, 0.1, 0.1]) + 1
    )
    singular = torch.linalg.eigvalsh(vectors.double().T @ vectors.double()).sqrt()
    shares = (singular / singular.sum()).tolist()
    found = measured(vectors)
    assert found["effective_rank"] == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)), rel=1e-4)
    cosines = [
        torch.cosine_similarity(vectors[i], vectors[j], dim=0).item() for i in range(50) for j in range(50) if i != j
    ]
    assert found["mean_cosine"] == pytest.approx(sum(cosines) / len(cosines), abs=1e-5)


def test_of_many_vectors_evenly_spread_ones_are_taken() -> None:
    vectors = torch.cat([torch.zeros(5000, 4), torch.ones(5000, 4)])
    assert measured(vectors)["std"] == pytest.approx(0.5, rel=1e-2)


@pytest.mark.parametrize(
    ("cosine", "rank", "warns"), [(0.5, 30.0, False), (0.85, 30.0, True), (0.5, 6.3, True), (0.79, 6.5, False)]
)
def test_a_collapse_is_told_with_its_numbers(
    cosine: float, rank: float, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    means = {"targets_std": 0.25, "targets_effective_rank": rank, "targets_mean_cosine": cosine}
    with caplog.at_level(logging.WARNING):
        warn_of_collapse(12, means, {"targets": 128})
    assert bool(caplog.records) is warns
    if warns:
        (said,) = caplog.messages
        assert f"step 12: targets collapse: mean cosine {cosine:.3f}" in said
        assert f"effective rank {rank:.1f} of 128 (too little below 6.4), std 0.25" in said
