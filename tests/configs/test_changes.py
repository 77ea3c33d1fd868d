"""What a configuration says that its defaults do not."""

from dataclasses import dataclass, field
from typing import Literal

from surgstream.configs.changes import given


@dataclass(frozen=True, kw_only=True)
class Small:
    name: Literal["small"] = "small"
    size: int = 1


@dataclass(frozen=True, kw_only=True)
class Large:
    name: Literal["large"] = "large"
    size: int = 1


@dataclass(frozen=True, kw_only=True)
class Recipe:
    run_dir: str
    seeds: tuple[int, ...] = (0,)
    weights: dict[str, float] = field(default_factory=dict)
    part: Small | Large | None = field(default_factory=Small)


def test_defaults_are_left_out_and_names_are_not() -> None:
    assert dict(given(Recipe(run_dir="a"))) == {"run_dir": "a", "part.name": "small"}
    assert dict(given(Recipe(run_dir="a", seeds=(0,), part=Small(size=1)))) == dict(
        given(Recipe(run_dir="a"))
    )


def test_what_is_given_is_there() -> None:
    recipe = Recipe(run_dir="a", seeds=(1, 2), weights={"b": 0.5}, part=Large(size=3))
    assert dict(given(recipe)) == {
        "run_dir": "a",
        "seeds": [1, 2],
        "weights": {"b": 0.5},
        "part.name": "large",
        "part.size": 3,
    }
    assert dict(given(Recipe(run_dir="a", part=None))) == {"run_dir": "a", "part": None}
