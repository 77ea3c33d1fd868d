"""Keys that had another name before: who writes the old one is told, what was saved with it is read."""

import dataclasses
from pathlib import Path

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build, load, to_tree
from surgstream.configs.parsing import read_yaml
from surgstream.configs.renamed import Renamed
from surgstream.launch.__main__ import main
from surgstream.launch.site import Site
from surgstream.shards.corpus.file import CorpusConfig, PackConfig
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.objectives.config import VJepaConfig

SAVED = Path("tests/data/before_rooms/run/config.yaml")
RECIPE = "configs/pretrain/surgrec_jepa_tiny.yaml"
TABLE = Renamed(
    keys={"old": "new", "section.was": "section.is"},
    values={"new": {"a": "b"}, "list": {"x": "y"}},
)


def test_translation_leaves_its_input_and_what_is_not_renamed() -> None:
    tree = {"old": "a", "section": {"was": 1, "stays": 2}, "list": ["x", "z", 3]}
    expected = {"new": "b", "section": {"is": 1, "stays": 2}, "list": ["y", "z", 3]}
    assert TABLE.translate(tree) == expected
    assert tree == {"old": "a", "section": {"was": 1, "stays": 2}, "list": ["x", "z", 3]}
    assert TABLE.translate(expected) == expected and not list(TABLE.problems(expected))


@pytest.mark.parametrize("tree", [{}, {"section": None}, {"section": "was"}, {"list": None}])
def test_what_is_not_there_is_not_translated(tree: dict[str, object]) -> None:
    assert TABLE.translate(tree) == tree
    assert list(TABLE.problems(tree)) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["data.order.lanes=64"], ["data.order.lanes: is now data.order.open_chunks"]),
        (
            ["data.order.deal=spread"],
            [
                "data.order.deal: is now data.order.micro_batches (runs is by_chunk, spread is mixed)"
            ],
        ),
        (
            ["data.order.micro_batches=runs"],
            ["data.order.micro_batches: 'runs' is now 'by_chunk'"],
        ),
        (["resume.allow=[corpus, lanes]"], ["resume.allow: 'lanes' is now 'chunks'"]),
        (
            ["objective.ema=0.9", "report.every_steps=5"],
            ["objective.ema: is now objective.ema_decay", "report: is now metrics"],
        ),
    ],
)
def test_an_old_word_in_a_recipe_is_an_error_that_names_the_new_one(
    words: list[str], told: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        load(TrainConfig, RECIPE, words)
    assert str(error.value).splitlines()[1:] == [f"  {line}" for line in told]


def test_old_words_of_sites_of_packing_and_of_commands_as_well(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ConfigError, match="before: is now setup_commands"):
        build(Site, {"before": ["true"]}, where="site")
    with pytest.raises(ConfigError, match=r"pack\.drop: 'blank' is now 'uniform'"):
        tree = {"datasets": [], "pack": {"drop": ["black", "blank"]}}
        build(CorpusConfig, tree, where="corpus.yaml")
    with pytest.raises(SystemExit):
        main(["launch", "bench", "site", "recipe"])
    assert "`launch bench` is now `launch loader`" in capsys.readouterr().err


@pytest.mark.parametrize("cls", [TrainConfig, Site, PackConfig])
def test_every_new_key_exists_and_no_old_one_does(
    cls: type[TrainConfig | Site | PackConfig],
) -> None:
    known = _keys(cls)
    assert {*cls.renamed.keys.values(), *cls.renamed.values} <= known
    assert not cls.renamed.keys.keys() & known


def _keys(cls: type) -> set[str]:
    """The dotted keys of all recipes, or of a class."""
    if cls is not TrainConfig:
        return {field.name for field in dataclasses.fields(cls)}
    recipes = [load(TrainConfig, path) for path in Path("configs/pretrain").glob("*.yaml")]
    return {key for recipe in recipes for key in _dotted(to_tree(recipe), "")}


def _dotted(tree: object, path: str) -> list[str]:
    found = [path] if path else []
    for key, value in tree.items() if isinstance(tree, dict) else ():
        found += _dotted(value, f"{path}.{key}" if path else key)
    return found


def test_a_saved_configuration_is_read_under_the_names_of_now() -> None:
    saved = read_yaml(SAVED)
    with pytest.raises(ConfigError, match="report: is now metrics"):
        build(TrainConfig, saved, where="config.yaml")

    config = build(TrainConfig, TrainConfig.renamed.translate(saved), where="config.yaml")
    assert config.data.order.open_chunks == 4
    assert config.data.order.micro_batches == "mixed"
    assert config.metrics.every_steps == 1
    assert isinstance(config.objective, VJepaConfig) and config.objective.ema_decay == 0.996
