"""A recipe's rate and that of its corpora, wherever a run meets them before its first step."""

import json
from pathlib import Path

import pytest

from surgstream.configs.loading import load, to_tree
from surgstream.launch.__main__ import main
from surgstream.shards.format.rates import RateError
from surgstream.shards.order.sequence import Order
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.assembly import open_corpus
from surgstream.trainer.commands.describe import describe
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.errors import CheckpointError
from surgstream.trainer.preflight.store import Corpora
from surgstream.trainer.resume import order_from
from tests.helpers.handmade import write_corpus

RECIPES = Path(__file__).parents[3] / "configs" / "pretrain"
RECIPE = str(RECIPES / "surgvista_tiny.yaml")


def recipe(*overrides: str) -> TrainConfig:
    return load(TrainConfig, RECIPE, overrides)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_says_its_rate(path: Path) -> None:
    assert load(TrainConfig, path, []).data.fps is not None


def test_those_of_one_paper_are_of_one_rate() -> None:
    rates = {path.stem: load(TrainConfig, path, []).data.fps for path in RECIPES.glob("*.yaml")}
    assert {
        rate for name, rate in rates.items() if name.startswith(("surgvista_v", "unisurg_v"))
    } == {1.0}
    assert {
        rate for name, rate in rates.items() if name.startswith(("surgrec_mae_v", "surgrec_jepa_v"))
    } == {6.25}


@pytest.mark.parametrize(
    "which", ["data.corpus", "held_out.corpus", "probe.corpus", "probe.test_corpus"]
)
def test_a_corpus_of_another_rate_is_refused_before_anything_begins(
    which: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_corpus(tmp_path / "right", fps=10)
    write_corpus(tmp_path / "wrong", fps=4)
    places = dict.fromkeys(
        ["data.corpus", "held_out.corpus", "probe.corpus", "probe.test_corpus"], tmp_path / "right"
    )
    words = [f"{key}={place}" for key, place in (places | {which: tmp_path / "wrong"}).items()]

    message = "wrong: cataract: v0: expected data.fps=5 frames a second, or a whole multiple, got 4"
    for command in (["describe", RECIPE], ["launch", "slurm", "cpu_test", RECIPE, "--dry-run"]):
        assert main([*command, *words]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(RateError, match=message):
        Corpora(recipe(*words))
    with pytest.raises(RateError, match=message):
        open_corpus(str(tmp_path / "wrong"), recipe(*words).data)


def test_the_order_that_is_printed_is_that_of_the_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_corpus(tmp_path, fps=10)
    assert main(["order", RECIPE, f"data.corpus={tmp_path}", "--count", "60"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["anchor_frame"] % 2 for line in lines} == {0}
    assert main(["order", RECIPE, f"data.corpus={tmp_path}", "data.fps=3"]) == 2
    assert "expected data.fps=3 frames a second" in capsys.readouterr().err


def test_describe_tells_how_long_clips_are_and_what_is_not_shown(tmp_path: Path) -> None:
    write_corpus(tmp_path, fps=10)
    tree = describe(recipe(f"data.corpus={tmp_path}"), 1)
    assert tree["clip"] == {"frames": 4, "stride": 1, "fps": 5.0, "seconds": 0.6}
    assert {each["name"]: each["clips"] for each in tree["datasets"]} == {"cataract": 47, "knee": 6}
    assert [each["packed_frames_apart"] for each in tree["datasets"]] == [[2], [2]]
    told = "cataract, knee: one in 2 packed frames is shown, at data.fps=5, and those between are read as well"
    assert sum(warning.startswith(told) for warning in tree["warnings"]) == 1
    assert (
        describe(recipe(f"data.corpus={tmp_path}", "data.fps=null"), 1)["clip"]["seconds"] is None
    )


def test_of_stills_a_rate_shows_no_part(tmp_path: Path) -> None:
    """A rate that is null can be no reason why there are others."""
    table = {}
    for number in (8, 9):
        photos = {f"p{photo}": [(0, 1)] for photo in range(number)}
        write_corpus(tmp_path / str(number), {"photos": [photos]}, stills=["photos"])
        table[number] = FrameTable.open(open_storage(str(tmp_path / str(number))))

    config = recipe("data.fps=null")
    before = Order.create(table[8].sizes(), config.seed, config.data.order)
    state = {"order": before.to_json(), "manifest": table[8].sha256, "config": to_tree(config)}
    with pytest.raises(CheckpointError, match=r"photos had 8 clips.*now 9") as caught:
        order_from(Progress(step=4, clips_seen=64, state=state), config, table[9])
    assert "shows a part" not in str(caught.value)


def test_a_run_that_was_begun_without_a_rate_goes_on(tmp_path: Path) -> None:
    """As it was: at the rate that the corpus has, or, where that is another one, once the recipe says null."""
    for name, fps in (("of_the_recipe", 5.0), ("denser", 10.0)):
        write_corpus(tmp_path / name, fps=fps)
        older = recipe(f"data.corpus={tmp_path / name}", "data.fps=null")
        table = FrameTable.open(open_storage(str(tmp_path / name)))
        before = Order.create(table.sizes(), older.seed, older.data.order)
        config = to_tree(older)
        del config["data"]["fps"]
        progress = Progress(
            step=4,
            clips_seen=64,
            state={"order": before.to_json(), "manifest": table.sha256, "config": config},
        )
        assert order_from(progress, older, table) == before

        at_rate = recipe(f"data.corpus={tmp_path / name}")
        now = FrameTable.open(open_storage(str(tmp_path / name)), fps=5.0)
        if fps == 5.0:
            assert order_from(progress, at_rate, now) == before
        else:
            with pytest.raises(
                CheckpointError,
                match=r"knee had 11 clips.*now 6.*data\.fps=5 shows a part; null takes",
            ):
                order_from(progress, at_rate, now)
