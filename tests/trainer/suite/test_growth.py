"""What a metric is against what was spent on checkpoints and on labels."""

from dataclasses import replace
from pathlib import Path

import pytest

from surgstream.configs.loading import to_tree
from surgstream.shards.order.revisions import DatasetSize
from surgstream.shards.order.sequence import Order
from surgstream.trainer.config import load_recipe
from surgstream.trainer.engine.checkpoint_files import STATE, state_bytes
from surgstream.trainer.suite.config import PartConfig, SuiteConfig
from surgstream.trainer.suite.growth import draw_labels, draw_pretraining, spent_on
from surgstream.trainer.suite.models import read_models
from surgstream.trainer.suite.page import draw_page
from surgstream.trainer.suite.scoring import Entry, score_entries
from tests.trainer.suite.made_up import MadeUp, finish, make, suite_of

RECIPE = load_recipe(
    "configs/pretrain/surgvista_tiny.yaml", ["data.corpus=shards", "held_out=null"]
)


@pytest.fixture
def made(tmp_path: Path) -> MadeUp:
    return make(tmp_path)


def save(run: Path, step: int, num_frames: int = 500) -> Path:
    """A checkpoint of a pretraining, with the state alone."""
    sizes = [DatasetSize(name="d", specialty="s", num_clips=num_frames)]
    order = Order.create(sizes, 0, RECIPE.data.order)
    folder = run / "checkpoints" / f"step_{step:08d}"
    folder.mkdir(parents=True)
    state = {
        "step": step,
        "g": step * RECIPE.global_batch_size,
        "optimizer_step": step,
        "files": {},
        "order": order.to_json(),
        "manifest": "0" * 64,
        "config": to_tree(RECIPE),
    }
    (folder / STATE).write_bytes(state_bytes(state))
    return folder


def entries_of(made: MadeUp, words: list[str], suite: SuiteConfig) -> list[Entry]:
    cells = made.cells(suite, words)
    for number, cell in enumerate(cells):
        finish(cell, made.places.out, 0.1 * (number % 7))
    return list(score_entries(cells, made.places))


def test_a_checkpoint_tells_frames_steps_and_operations(tmp_path: Path) -> None:
    folder = save(tmp_path / "run", 300, num_frames=1234)
    (model,) = read_models([f"weights={folder}"], suite_of("x"))
    spent = spent_on(model)
    assert spent and spent.run == str(tmp_path / "run")
    assert spent.amounts["frames of the corpus"] == 1234 and spent.amounts["steps"] == 300
    twice = spent_on(read_models([f"weights={save(tmp_path / 'run', 600)}"], suite_of("x"))[0])
    assert twice and twice.amounts["operations"] == pytest.approx(2 * spent.amounts["operations"])


@pytest.mark.parametrize("word", ["weights=pixels", "weights=random"])
def test_what_was_not_trained_here_tells_nothing(word: str) -> None:
    assert spent_on(read_models([word], suite_of("x"))[0]) is None


def test_checkpoints_of_a_run_are_a_curve(made: MadeUp) -> None:
    folders = [save(made.folder / "run", step) for step in (100, 200, 400)]
    words = [f"weights={folder}" for folder in folders]
    suite = suite_of(made.task(), seeds=[0])
    (entry,) = entries_of(made, words, suite)
    spent = {model.name: spent_on(model) for model in read_models(words, suite)}
    svg = draw_pretraining(entry, {name: found for name, found in spent.items() if found})
    # All saw the same frames, so there is nothing to see of those.
    assert "steps" in svg and "operations" in svg and "frames of the corpus" not in svg
    assert "data:image/svg+xml;base64" in draw_page(suite, [entry], made.places.out)

    one = {name: found for name, found in list(spent.items())[:1] if found}
    assert draw_pretraining(entry, one) == ""


def test_runs_on_other_corpora_are_a_curve(made: MadeUp) -> None:
    folders = [save(made.folder / name, 100, frames) for name, frames in (("a", 50), ("b", 500))]
    words = [f"weights={folder}" for folder in folders]
    suite = suite_of(made.task(), seeds=[0])
    (entry,) = entries_of(made, words, suite)
    spent = {model.name: spent_on(model) for model in read_models(words, suite)}
    told = {name: found for name, found in spent.items() if found}
    svg = draw_pretraining(entry, told)
    assert "frames of the corpus" in svg and "steps" not in svg
    # In per cent, as in the table
    value = entry.result.models[0].values["image_accuracy"].value if entry.result else 0
    assert value <= 1 and f">{100 * value:.0f}<" in svg.replace(".0<", "<")

    first, second = told
    others = told | {second: replace(told[second], model="another model")}
    assert first != second and draw_pretraining(entry, others) == ""


def test_shares_of_the_labels_are_a_curve_for_each_encoder(made: MadeUp) -> None:
    part = PartConfig(tasks=(made.task(),), protocols=("probe_ridge",), shares=(0.25, 0.5, 1.0))
    suite = SuiteConfig(title="Shares", parts=(part,), yardsticks=(), seeds=(0,))
    words = ["weights=a=pixels", "weights=b=pixels", "encoder.num_frames=2"]
    entries = entries_of(made, words, suite)
    svg = draw_labels(entries)
    assert "training videos, %" in svg and ">a<" in svg and ">b<" in svg
    assert draw_labels(entries[:1]) == ""
    assert "25 % of the training videos" in draw_page(suite, entries, made.places.out)
