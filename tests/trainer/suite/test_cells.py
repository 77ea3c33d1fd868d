"""Which runs a suite has, and what makes two of them the same."""

from dataclasses import replace
from pathlib import Path

import pytest

from surgstream.trainer.readouts.config import ProbeRecipe
from surgstream.trainer.suite.cells import Cell, unique
from surgstream.trainer.suite.config import PartConfig, SuiteConfig
from tests.trainer.suite.made_up import MadeUp, make, suite_of

PIXELS = ["weights=pixels", "encoder.num_frames=2", "encoder.image_size=16"]


@pytest.fixture
def made(tmp_path: Path) -> MadeUp:
    return make(tmp_path)


def only(cells: list[Cell]) -> Cell:
    (cell,) = cells
    return cell


def test_every_task_protocol_encoder_and_seed_has_a_cell(made: MadeUp) -> None:
    suite = suite_of(made.task(), made.task("score"), protocols=["probe_tiny", "probe_ridge"])
    cells = made.cells(suite, [*PIXELS, "weights=r=random"])
    found = {(Path(cell.task).stem, cell.protocol, cell.model.name, cell.seed) for cell in cells}
    assert len(found) == len(cells) == 2 * (2 * 2 + 1 + 2)
    assert {
        seed for _, protocol, name, seed in found if (protocol, name) == ("probe_tiny", "pixels")
    } == {0, 1}
    # Nothing random is in a ridge regression but random weights.
    assert {
        seed for _, protocol, name, seed in found if (protocol, name) == ("probe_ridge", "pixels")
    } == {0}
    assert {
        seed for _, protocol, name, seed in found if (protocol, name) == ("probe_ridge", "r")
    } == {0, 1}


def test_a_cell_is_known_by_what_decides_its_numbers(made: MadeUp) -> None:
    task = made.task()
    cell = only(made.cells(suite_of(task), PIXELS))

    renamed = only(made.cells(suite_of(task), ["weights=mine=pixels", *PIXELS[1:]]))
    assert renamed.key == cell.key
    larger = only(made.cells(suite_of(task), [*PIXELS[:2], "encoder.image_size=32"]))
    assert larger.key != cell.key

    def with_words(*words: str) -> str:
        part = PartConfig(tasks=(task,), protocols=("probe_ridge",), set=words)
        return only(made.cells(SuiteConfig(title="", parts=(part,), yardsticks=()), PIXELS)).key

    assert with_words("readout.penalties=[1.0]") != cell.key
    assert with_words("data.read.threads=2") == cell.key

    (made.labels / "v6.csv").write_text("second,phase,tools\n0,phase1,\n")
    assert only(made.cells(suite_of(task), PIXELS)).key != cell.key


def test_another_version_of_a_task_is_another_cell(made: MadeUp) -> None:
    before = only(made.cells(suite_of(made.task()), PIXELS)).key
    assert only(made.cells(suite_of(made.task(version=2)), PIXELS)).key != before


def test_the_same_weights_under_two_names_run_once(made: MadeUp) -> None:
    cells = made.cells(suite_of(made.task()), [*PIXELS, "weights=again=pixels", *PIXELS[1:]])
    assert len(cells) == 2 and len(unique(cells)) == 1


def test_each_fold_is_a_cell_of_one_column(made: MadeUp) -> None:
    folds = {
        name: {"train": ["v[0-3]"], "val": ["v[4-5]"], "test": [test], "source": "Ours."}
        for name, test in (("one", "v6"), ("two", "v7"), ("other", "v5"))
    }
    folds["other"]["val"] = ["v4"]
    word = f"{made.task(split=None, folds=folds)}@*o*e*"
    cells = made.cells(suite_of(word), PIXELS)
    assert [cell.task.partition("@")[2] for cell in cells] == ["one", "other"]
    assert [cell.asks for cell in cells] == ["phases@one", "phases@other"]
    assert {cell.asked for cell in cells} == {word}


def test_what_is_missing_is_told_and_not_run(made: MadeUp) -> None:
    absent = made.task(dataset="hip")
    cell = only(made.cells(suite_of(absent), PIXELS))
    assert "no corpus has the dataset hip; pack it, or" in cell.missing and not unique([cell])

    (made.labels / "v7.csv").unlink()
    cell = only(made.cells(suite_of(made.task()), PIXELS))
    assert "v7" in cell.missing

    more = {"train": ["v[0-3]"], "test": ["v[6-9]"], "source": "Ours."}
    cell = only(made.cells(suite_of(made.task(split=more)), PIXELS))
    assert "lacks 2 of the task's 8 videos of knee: v8, v9" in cell.missing


def test_a_cell_s_key_has_the_ids_that_globs_stand_for(made: MadeUp) -> None:
    """So another corpus, in which they match others, is another cell, and what is not packed is told."""
    written = {"train": ["v[0-3]"], "val": ["v[4-5]"], "test": ["v6", "v7"], "source": "Ours."}
    by_ids = only(made.cells(suite_of(made.task(split=written)), PIXELS))
    globs = written | {"test": ["v6*", "v7*"]}
    assert only(made.cells(suite_of(made.task(split=globs)), PIXELS)).key == by_ids.key

    (made.labels / "v71.csv").write_text((made.labels / "v7.csv").read_text())
    cell = only(made.cells(suite_of(made.task(split=globs)), PIXELS))
    assert "lacks 1 of the task's 9 videos of knee: v71" in cell.missing
    cell = only(made.cells(suite_of(made.task(split=globs | {"test": ["w*"]})), PIXELS))
    assert "split.test: expected videos of knee that 'w*' matches" in cell.missing


def test_raw_pixels_cannot_be_fine_tuned(made: MadeUp) -> None:
    cell = only(made.cells(suite_of(made.task(), protocols=["finetune_tiny"]), PIXELS))
    assert cell.missing == "fine-tuning takes video encoders, pixels is none"


def test_random_weights_are_fine_tuned_from_the_protocol(made: MadeUp) -> None:
    cells = made.cells(suite_of(made.task(), protocols=["finetune_tiny"]), ["weights=random"])
    assert all("warm_start=null" in cell.words and cell.command == "finetune" for cell in cells)


def test_an_epoch_has_as_many_clips_as_the_protocol_says(made: MadeUp) -> None:
    cell = only(made.cells(suite_of(made.task(), seeds=[0], protocols=["probe_unisurg"]), PIXELS))
    assert isinstance(cell.recipe, ProbeRecipe)
    assert cell.recipe.draws_per_epoch(112) == 112
    assert cell.recipe.draws_per_epoch(86_344) == 20_000
    asked = replace(cell.recipe, clips_per_epoch=500, max_clips_per_epoch=None)
    assert asked.draws_per_epoch(112) == 500
    both = replace(asked, max_clips_per_epoch=20)
    assert any(problem.startswith("max_clips_per_epoch") for problem in both.problems())


def test_what_a_task_says_of_results_decides_no_prediction(made: MadeUp) -> None:
    before = only(made.cells(suite_of(made.task()), PIXELS)).key
    told = made.task(
        title="Another",
        notes=["So it is."],
        metrics=["image_accuracy", "edit"],
        parts={"six": {"videos": ["v6"]}},
    )
    assert only(made.cells(suite_of(told), PIXELS)).key == before
    assert only(made.cells(suite_of(made.task(clip={"num_frames": 4})), PIXELS)).key != before


def test_each_share_of_the_training_videos_is_a_line(made: MadeUp) -> None:
    part = PartConfig(tasks=(made.task(),), protocols=("probe_ridge",), shares=(0.25, 1.0))
    cells = made.cells(SuiteConfig(title="", parts=(part,), yardsticks=()), PIXELS)
    assert [cell.share for cell in cells] == [0.25, 1.0]
    assert [cell.asks for cell in cells] == ["phases, 25 %", "phases"]
    assert len({cell.line for cell in cells}) == len({cell.key for cell in cells}) == 2
    recipes = [cell.recipe for cell in cells]
    assert [recipe.clips.share for recipe in recipes if recipe] == [0.25, 1.0]
