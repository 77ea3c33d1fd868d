"""A recipe that trains on some datasets of its corpus, wherever that shows before its first step."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build, load, to_tree
from surgstream.launch.__main__ import main
from surgstream.trainer.assembly import held_out_clips, training_corpus
from surgstream.trainer.commands.describe import describe
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.engine.config import HeldOutConfig
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.errors import CheckpointError
from surgstream.trainer.features.config import FeaturesRecipe
from surgstream.trainer.preflight.decoding import take_sample
from surgstream.trainer.preflight.store import Corpora
from surgstream.trainer.readouts.config import ProbeRecipe
from surgstream.trainer.resume import order_from, recipe_changes
from tests.helpers.handmade import write_corpus
from tests.helpers.ranks import process_group

RECIPE = "configs/pretrain/surgvista_tiny.yaml"
BEGINNING = Progress(step=0, clips_seen=0, state={})


@pytest.fixture
def alone() -> Iterator[None]:
    with process_group():
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_corpus(tmp_path)
    return tmp_path


def recipe(folder: Path, *overrides: str) -> TrainConfig:
    return load(TrainConfig, RECIPE, [f"data.corpus={folder}", "held_out=null", *overrides])


def saved(config: TrainConfig, clips_seen: int = 12) -> Progress:
    """Where a run of a recipe stands after some clips."""
    table = training_corpus(config.data)
    order = order_from(BEGINNING, config, table)
    state = {"order": order.to_json(), "manifest": table.sha256, "config": to_tree(config)}
    return Progress(step=1, clips_seen=clips_seen, state=state)


def test_order_prints_these_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["order", RECIPE, f"data.corpus={folder}", "--count", "60"]
    assert main([*words, "data.datasets=[knee]"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["dataset"] for line in lines} == {"knee"}
    assert main(words) == 0
    assert '"cataract"' in capsys.readouterr().out


def test_describe_counts_these_alone(folder: Path) -> None:
    tree = describe(recipe(folder, "data.datasets=[knee]"), 1)
    assert [dataset["name"] for dataset in tree["datasets"]] == ["knee"]
    assert tree["clips"]["corpus"] == 11


@pytest.mark.parametrize("command", ["describe", "order", "loader"])
def test_a_name_that_no_dataset_has_is_a_mistake_of_the_recipe(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [command, RECIPE, f"data.corpus={folder}", "data.datasets=[knees]"]
    assert main(words + (["--count", "1"] if command == "order" else [])) == 2
    assert "got 'knees'; did you mean 'knee'" in capsys.readouterr().err


def test_preflight_reads_these_alone(folder: Path) -> None:
    for path in (folder / "cataract").iterdir():
        path.unlink()
    config = recipe(folder, "data.datasets=[knee]")
    corpora = Corpora(config)
    corpora.check_memory(1)
    assert corpora.mb_per_second(0.01, rank=0, world_size=1) > 0
    assert len(take_sample(config, corpora.storage).frames) == 64
    with pytest.raises(ConfigError, match="got 'knees'"):
        Corpora(recipe(folder, "data.datasets=[knees]"))


def test_clips_that_are_held_out_are_of_a_whole_corpus(folder: Path, alone: None) -> None:
    config = recipe(folder, "data.datasets=[knee]")
    source = held_out_clips(config, HeldOutConfig(corpus=str(folder)), RankInfo())
    assert [size.name for size in source._corpus.sizes()] == ["cataract", "knee"]


def test_a_resume_with_others_is_refused_as_another_corpus_is(folder: Path, alone: None) -> None:
    before = recipe(folder, "data.datasets=[knee]")
    progress = saved(before)
    assert order_from(progress, before, training_corpus(before.data)).revisions[0].start == 0

    now = recipe(folder)
    table = training_corpus(now.data)
    with pytest.raises(
        CheckpointError,
        match=r"belongs to another order: cataract is new, data.datasets was \['knee'\], now None; "
        r".* set resume.allow: \[corpus\]",
    ):
        order_from(progress, now, table)

    allowed = replace(now, resume=replace(now.resume, allow=("corpus",)))
    order = order_from(progress, allowed, table)
    assert [revision.start for revision in order.revisions] == [0, 12]
    assert not recipe_changes(progress, now), "resume checks datasets by themselves"


def test_naming_all_is_as_good_as_none(folder: Path, alone: None) -> None:
    progress = saved(recipe(folder))
    now = recipe(folder, "data.datasets=[knee, cataract]")
    order = order_from(progress, now, training_corpus(now.data))
    assert len(order.revisions) == 1


def test_a_corpus_that_changed_is_told_as_before(folder: Path, alone: None) -> None:
    config = recipe(folder, "data.datasets=[knee]")
    progress = saved(config)
    write_corpus(folder, fps=10.0)
    with pytest.raises(CheckpointError, match=r"its manifest was [0-9a-f]{12}, now [0-9a-f]{12}"):
        order_from(progress, config, training_corpus(config.data))


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ("[]", "data: datasets: expected at least one name, or null for all, got none"),
        ("[a, b, a]", "data: datasets: expected names that differ, got 'a' more than once"),
    ],
)
def test_mistakes_in_the_list(datasets: str, message: str, folder: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe(folder, f"data.datasets={datasets}")


def test_what_does_not_train_on_a_corpus_takes_no_part_of_it() -> None:
    words = ["data.corpus=x", "data.datasets=[knee]", "weights=random"]
    message = r"data.datasets: expected null, as a task names its own, got \['knee'\]"
    with pytest.raises(ConfigError, match=message):
        load(
            ProbeRecipe, "configs/evaluate/protocols/probe_tiny.yaml", [*words, "task=synth_phases"]
        )

    data = {"corpus": "x", "datasets": ["knee"]}
    message = r"data.datasets: expected null; set datasets, got \['knee'\]"
    with pytest.raises(ConfigError, match=message):
        build(FeaturesRecipe, {"out": "y", "weights": "random", "data": data}, where="features")
