"""Diversity of features with known answers, and when its lack is warned of."""

import logging
import math
import re
from pathlib import Path

import pytest
import torch

from surgstream.configs.loading import load
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.collapse import CollapseWatch, diversity
from surgstream.trainer.objectives import choice

RECIPES = Path(__file__).parents[3] / "configs" / "pretrain"


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
        torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
        * torch.tensor([5.0, 1, 1, 1, 0.1, 0.1])
        + 1
    )
    singular = torch.linalg.eigvalsh(vectors.double().T @ vectors.double()).sqrt()
    shares = (singular / singular.sum()).tolist()
    found = measured(vectors)
    assert found["effective_rank"] == pytest.approx(
        math.exp(-sum(p * math.log(p) for p in shares)), rel=1e-4
    )
    cosines = [
        torch.cosine_similarity(vectors[i], vectors[j], dim=0).item()
        for i in range(50)
        for j in range(50)
        if i != j
    ]
    assert found["mean_cosine"] == pytest.approx(sum(cosines) / len(cosines), abs=1e-5)


def test_of_many_vectors_evenly_spread_ones_are_taken() -> None:
    vectors = torch.cat([torch.zeros(5000, 4), torch.ones(5000, 4)])
    assert measured(vectors)["std"] == pytest.approx(0.5, rel=1e-2)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING)
    return caplog


def look(
    watch: CollapseWatch, cosine: float, rank: float, *, num: int = 512, step: int = 12
) -> None:
    means = {"targets_std": 0.25, "targets_effective_rank": rank, "targets_mean_cosine": cosine}
    watch.look(step, means, {"targets": (num, 128)})


COSINE = "mean cosine 0.97, above 0.9 (1 if all were one vector)"
RANK = "effective rank 2.5, below 3 (1 if all were one vector)"


@pytest.mark.parametrize(
    ("cosine", "rank", "signs"),
    [
        (0.89, 3.1, None),
        (0.97, 30.0, COSINE),
        (0.5, 2.5, RANK),
        (0.97, 2.5, f"{COSINE} and {RANK}"),
    ],
)
def test_a_collapse_is_told_by_what_shows_it_and_by_no_other_number(
    cosine: float, rank: float, signs: str | None, said: pytest.LogCaptureFixture
) -> None:
    look(CollapseWatch("Do this"), cosine, rank)
    if signs is None:
        assert not said.messages
        return
    (line,) = said.messages
    assert line.startswith(f"step 12: targets collapse: {signs}; the loss does not show it")
    assert "Do this. " in line


@pytest.mark.parametrize(
    ("cosines", "told"),
    [
        ([0.92, 0.92, 0.93, 0.925, 0.901], [0]),  # said once
        ([0.92, 0.958, 0.961, 0.97, 0.985], [0, 2, 4]),  # again when it is twice as near
        (
            [0.92, 0.88, 0.92, 0.84, 0.92, 0.92],
            [0, 4],
        ),  # again after it was clearly away, not at the limit itself
    ],
    ids=["stays", "gets worse", "comes back"],
)
def test_a_collapse_is_told_again_when_it_gets_worse_or_comes_back(
    cosines: list[float], told: list[int], said: pytest.LogCaptureFixture
) -> None:
    watch = CollapseWatch("Do this")
    for step, cosine in enumerate(cosines):
        look(watch, cosine, 30.0, step=step)
    assert [int(line.split()[1].rstrip(":")) for line in said.messages] == told


@pytest.mark.parametrize(
    ("vectors", "collapsed"), [(torch.eye(2), False), (torch.ones(2, 5), True)]
)
def test_two_vectors_may_differ_as_much_as_two_can(
    vectors: torch.Tensor, collapsed: bool, said: pytest.LogCaptureFixture
) -> None:
    found = measured(vectors)
    look(CollapseWatch(""), found["mean_cosine"], found["effective_rank"], num=2)
    assert bool(said.messages) is collapsed


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_advice_names_keys_of_the_recipe(recipe: Path) -> None:
    config = load(TrainConfig, recipe, [])
    keys = re.findall(
        r"(?:objective|optim)\.[a-z_]+", choice.build_on_meta(config.objective).against_collapse
    )
    assert "optim.base_lr" in keys
    for key in keys:
        room, name = key.split(".")
        assert hasattr(getattr(config, room), name)
