"""Every number that a user may give has a range; inside all ranges, everything ends soon and in bounded memory."""

import argparse
import contextlib
import dataclasses
import math
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Union

import pytest
import yaml

from surgstream.configs.errors import ConfigError, SurgstreamError
from surgstream.configs.loading import build, load, to_tree
from surgstream.configs.ranges import Number, Range
from surgstream.launch.__main__ import COMMANDS
from surgstream.launch.commands import parse
from surgstream.launch.jobs import training
from surgstream.launch.site import Site
from surgstream.shards.corpus.file import CorpusConfig
from surgstream.shards.order.sequence import DatasetSize, Order
from surgstream.shards.order.sequence import place as place_draws
from surgstream.trainer.commands.describe import describe
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.objectives.config import ObjectiveConfig
from surgstream.trainer.readouts.config import ProbeRecipe

CONFIGS = Path(__file__).parent.parent / "configs"
RECIPES = CONFIGS / "pretrain"
PROTOCOLS = CONFIGS / "evaluate" / "protocols"
DATASET = {
    "name": "d",
    "specialty": "s",
    "procedure": "p",
    "videos": "v",
    "image_fps": 1,
    "expected": {"videos": 1},
}
CORPUS = {"datasets": [DATASET]}
SITE = {"time": "1:00:00", "environment": {"A": 1}, "gpus_per_node": 0}

EXTREMES = (
    0,
    -1,
    2**31,
    2**62,
    2**63,
    10**400,
    1e308,
    -1e308,
    1e-308,
    math.nan,
    math.inf,
    -math.inf,
)
WAYS = [["launch", way] for way in ("slurm", "torchrun", "loader", "pack", "run-dir")]
TINY = load(TrainConfig, RECIPES / "surgvista_tiny.yaml", ["run_dir=/runs/tiny"])

pytestmark = pytest.mark.usefixtures("bounded_memory")

Place = tuple[str | int, ...]
"""The keys and indices that lead to a value in a tree."""
Ending = Callable[[str], contextlib.AbstractContextManager[None]]


def recipe(name: str) -> dict[str, Any]:
    tree: dict[str, Any] = yaml.safe_load((RECIPES / f"{name}.yaml").read_text())
    tree["data"]["order"]["weights"] = {"a": 1, "b": 2}
    augment = {"resized_crop": {}, "rand_augment": {}, "erase": {}}
    tree["data"]["augment"] = tree["data"].get("augment", {}) | augment
    return tree | {"held_out": {"corpus": "c"}, "probe": {}, "max_steps": 1000}


def protocol(name: str) -> dict[str, Any]:
    tree: dict[str, Any] = yaml.safe_load((PROTOCOLS / f"{name}.yaml").read_text())
    objective = {"kind": "number", "num_outputs": 1, "mean": 5.0, "std": 2.0, "mix": {}}
    tree["objective"] |= objective
    tree["data"]["augment"] = {"resized_crop": {}, "rand_augment": {}, "erase": {}}
    tree["clips"] = {"stride": 2}
    return tree | {"task": "synth_skill", "warm_start": None, "max_steps": 1000}


def tiny_recipes() -> dict[str, dict[str, Any]]:
    """One for each objective, by its name."""
    found = [recipe(path.stem) for path in sorted(RECIPES.glob("*_tiny*.yaml"), reverse=True)]
    found.append(protocol("finetune_tiny"))
    return {tree["objective"]["name"]: tree for tree in found}


def probe(readout: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "run_dir": "r",
        "task": "t",
        "weights": "w",
        "readout": {"name": readout, **settings},
        "data": {"corpus": "c"},
    }


ROOTS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    **{name: (TrainConfig, tree) for name, tree in tiny_recipes().items()},
    "corpus": (CorpusConfig, CORPUS),
    "site": (Site, SITE),
    "probe": (ProbeRecipe, probe("attentive", {"grid": {}})),
    "temporal": (ProbeRecipe, probe("temporal", {})),
}


def members(kind: Any) -> tuple[Any, ...]:
    if typing.get_origin(kind) in (Union, types.UnionType):
        return typing.get_args(kind)
    return (kind,)


def numbers(kind: Any, value: Any, place: Place) -> Iterator[tuple[Place, Any]]:
    """Find the numbers of a configuration, with the declared type of each."""
    for member in members(kind):
        origin = typing.get_origin(member)
        arguments = typing.get_args(member)

        if member in (int, float) or (origin is Annotated and arguments[0] in (int, float)):
            yield place, member
        elif dataclasses.is_dataclass(member) and type(value) is member:
            hints = typing.get_type_hints(member, include_extras=True)
            for field in dataclasses.fields(member):
                yield from numbers(
                    hints[field.name], getattr(value, field.name), (*place, field.name)
                )
        elif origin is tuple and isinstance(value, tuple):
            for index, item in enumerate(value):
                yield from numbers(arguments[0], item, (*place, index))
        elif origin is dict and isinstance(value, dict):
            for key, item in value.items():
                yield from numbers(arguments[1], item, (*place, key))


def changed(tree: Any, place: Place, value: Any) -> Any:
    if not place:
        return value
    copy = list(tree) if isinstance(tree, list) else dict(tree)
    copy[place[0]] = changed(copy[place[0]], place[1:], value)  # type: ignore[index,call-overload]
    return copy


def varied(root: str) -> Iterator[tuple[Place, Any]]:
    """Find the numbers of a root; those that all recipes share are varied in one recipe alone."""
    cls, tree = ROOTS[root]
    for place, kind in numbers(cls, build(cls, tree, where="test"), ()):
        of_task = place[0] in ("clips", "select") or place[:2] == ("data", "augment")
        is_own = place[0] == "objective" or (root == "supervised" and of_task)
        if cls is not TrainConfig or root == "surgvista" or is_own:
            yield place, kind


def written(place: Place) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)[1:]


def resolved(root: str) -> tuple[type[Any], dict[str, Any]]:
    cls, tree = ROOTS[root]
    return cls, to_tree(build(cls, tree, where="test"))


def test_every_objective_has_a_tiny_recipe_and_what_all_have() -> None:
    for config in typing.get_args(ObjectiveConfig):
        assert config.name in ROOTS, f"{config.name}: expected a tiny recipe"
        assert isinstance(config.has_average, bool)
        assert isinstance(config().by_micro_batch, bool)
        assert config().encoder and not list(config().problems())


@pytest.mark.parametrize("root", ROOTS)
def test_every_number_of_a_configuration_has_a_finite_range(root: str) -> None:
    cls, tree = resolved(root)
    found = list(numbers(cls, build(cls, tree, where="test"), ()))
    assert len(found) >= 7
    for place, kind in found:
        assert typing.get_origin(kind) is Annotated, (
            f"{cls.__name__}: {written(place)}: expected a range, got none"
        )
        number, range_ = typing.get_args(kind)
        assert number in (int, float) and isinstance(range_, Range)
        assert -math.inf < range_.least < range_.greatest < math.inf


@pytest.mark.parametrize("root", ROOTS)
def test_whatever_is_out_of_range_is_told_in_a_sentence(root: str, ending: Ending) -> None:
    """It names the field, what is expected, and what was got."""
    cls, tree = resolved(root)
    for place, kind in varied(root):
        range_ = typing.get_args(kind)[1]
        beyond = (math.nextafter(range_.greatest, math.inf), range_.greatest + 1, range_.least - 1)
        for value in {*EXTREMES, *beyond} - set(inside(kind)):
            with ending(f"{written(place)}={value}"), pytest.raises(ConfigError) as caught:
                build(cls, changed(tree, place, value), where="test")
            assert f"{written(place)}: expected " in str(caught.value), value
            assert "got " in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("root", ROOTS)
def test_whatever_is_in_range_ends_soon_or_in_a_sentence(root: str, ending: Ending) -> None:
    cls, tree = resolved(root)
    for place, kind in varied(root):
        # Networks take time to count.
        values = ends(kind) if place[0] == "objective" else inside(kind)
        for value in values:
            with ending(f"{written(place)}={value}"), contextlib.suppress(SurgstreamError):
                use(build(cls, changed(tree, place, value), where="test"), place)


def inside(kind: Any) -> set[float]:
    """Find the extremes that are in a number's range, its ends among them."""
    number, range_ = typing.get_args(kind)
    in_range = {value for value in {*ends(kind), *EXTREMES} if value in range_}
    return {value for value in in_range if number is float or type(value) is int}


def ends(kind: Any) -> set[float]:
    number, range_ = typing.get_args(kind)
    return {number(range_.least), number(range_.greatest)}


def use(config: Any, place: Place) -> None:
    """Compute everything that is computed from a configuration before anything runs."""
    if isinstance(config, Site):
        training(config, TINY)
    elif isinstance(config, TrainConfig) and place[0] == "objective":
        describe(config, world_size=1)
    elif isinstance(config, TrainConfig):
        use_order_and_plan(config)


def use_order_and_plan(config: TrainConfig) -> None:
    sizes = [DatasetSize("a", "s", 10**9), DatasetSize("b", "t", 7)]
    order = Order.create(sizes, config.seed, config.data.order)
    beginning = Progress(step=0, clips_seen=0, state={})
    plan = config.plan(num_clips=order.num_clips, world_size=1, start=beginning)

    last_draws = order.draws((plan.last_step - 1) * plan.global_batch_size, plan.global_batch_size)
    place_draws(
        last_draws,
        micro_batch_size=config.micro_batch_size,
        world_size=1,
        micro_batches=config.data.order.micro_batches,
    )
    assert math.isfinite(plan.lr(plan.total_draws))


class Made(Exception):
    """Ends a command once its parser is made, which it holds."""


PARSE = argparse.ArgumentParser.parse_known_args


@pytest.mark.parametrize(
    "words", [[name] for name in COMMANDS if name != "launch"] + WAYS + [["bench", "scale"]]
)
def test_every_number_of_a_command_has_a_range(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def made(parser: argparse.ArgumentParser, *arguments: Any) -> Any:
        if parser.prog == "surgstream launch":
            return PARSE(parser, *arguments)
        raise Made(parser)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", made)
    with pytest.raises(Made) as caught:
        parse(words[0], words[1:])
    (parser,) = caught.value.args

    for action in parser._actions:
        assert action.type not in (int, float), (
            f"{words} {action.option_strings}: expected a range, got none"
        )
        if not isinstance(action.type, Number):
            continue

        flag = action.option_strings[0]
        range_ = action.type.range
        valid = inside_flag(action.type)
        for value in {*EXTREMES, "", "x", range_.greatest + 1, range_.least - 1} - valid:
            with pytest.raises(SystemExit, match="2"):
                PARSE(parser, [f"{flag}={value}"])
            assert f"argument {flag}: expected " in capsys.readouterr().err
        for value in valid:
            assert action.type(str(value)) == value


def inside_flag(number: Number) -> set[float]:
    return inside(Annotated[number.kind, number.range])
