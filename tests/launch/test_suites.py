"""A suite as jobs: which cells come when, and what the jobs read."""

import argparse
import subprocess
from pathlib import Path

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import load
from surgstream.launch import suites
from surgstream.launch.commands.runs.launch import parse
from surgstream.launch.site import Site
from surgstream.launch.suites import Array, arrays_of, run, write_arrays
from surgstream.trainer.config import load_recipe
from surgstream.trainer.readouts.config import ProbeRecipe
from surgstream.trainer.suite.cells import Cell
from tests.trainer.suite.made_up import MadeUp, finish, make, suite_of

PIXELS = ["weights=pixels", "encoder.num_frames=2", "encoder.image_size=16"]
PROTOCOLS = ["probe_ridge", "probe_knn", "probe_tiny", "finetune_tiny"]
SITE = Site(time="1", ranks_per_node=1, gpus_per_node=0)


@pytest.fixture
def made(tmp_path: Path) -> MadeUp:
    return make(tmp_path)


@pytest.fixture
def cells(made: MadeUp) -> list[Cell]:
    suite = suite_of(made.task(), made.task("score"), protocols=PROTOCOLS, seeds=[0])
    return made.cells(suite, [*PIXELS, "weights=r=random"])


def hours_of(cell: Cell) -> float:
    """Fine-tuning takes longest; of the others nothing is known."""
    return 2.0 + len(cell.task) if cell.command == "finetune" else float("nan")


def named(arrays: list[Array]) -> dict[str, list[tuple[str, str, str]]]:
    return {
        array.name: [(Path(c.task).stem, c.protocol, c.model.name) for c in array.cells]
        for array in arrays
    }


def test_features_come_first_and_once(made: MadeUp, cells: list[Cell]) -> None:
    arrays = list(arrays_of(cells, made.places.out, hours_of))
    found = named(arrays)
    pairs = [(task, model) for task in ("phases", "score") for model in ("pixels", "r")]
    assert sorted((task, model) for task, _, model in found["features"]) == pairs
    assert sorted((task, model) for task, _, model in found["readouts"]) == pairs
    assert {array.name: array.after for array in arrays}["readouts"] == ("features",)
    assert len(found["probe"]) == 4
    # The longest first; raw pixels cannot be fine-tuned.
    assert found["finetune"] == [("phases", "finetune_tiny", "r"), ("score", "finetune_tiny", "r")]

    every = [cell.key for array in arrays for cell in array.cells]
    assert len(every) == len({*every}) == 14


def test_what_is_done_has_no_job(made: MadeUp, cells: list[Cell]) -> None:
    for cell in cells:
        if cell.key and cell.protocol != "probe_knn":
            finish(cell, made.places.out, 0.0)
    (array,) = arrays_of(cells, made.places.out, hours_of)
    # Their features may be there, and whoever comes first sees to it.
    assert array.name == "features" and {cell.protocol for cell in array.cells} == {"probe_knn"}


def test_jobs_read_recipes_by_the_numbers_of_an_array(made: MadeUp, cells: list[Cell]) -> None:
    out = made.places.out
    arrays = list(arrays_of(cells, out, hours_of))
    scripts = write_arrays(SITE, arrays, out, at_once=3)
    for array in arrays:
        script = scripts[array.name]
        checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
        assert checked.returncode == 0, checked.stderr
        folder = out / "jobs" / array.name
        assert f"#SBATCH --array=0-{len(array.cells) - 1}%3" in script
        assert f'words=({array.command} "{folder}/$SLURM_ARRAY_TASK_ID/recipe.yaml")' in script
        assert f'run_dir="{folder}/$SLURM_ARRAY_TASK_ID"' in script

        for number, cell in enumerate(array.cells):
            run_dir = folder / str(number)
            assert run_dir.resolve() == cell.folder(out)
            path = run_dir / "recipe.yaml"
            recipe = (
                load_recipe(path, []) if cell.command == "finetune" else load(ProbeRecipe, path)
            )
            assert recipe.run_dir == str(cell.folder(out)) and recipe.seed == cell.seed
            if isinstance(recipe, ProbeRecipe) and cell.reads_features:
                assert recipe.features == str(out / "features")


def test_a_batch_that_ranks_cannot_share_is_refused_before_any_job(
    made: MadeUp, cells: list[Cell]
) -> None:
    arrays = [
        array for array in arrays_of(cells, made.places.out, hours_of) if array.name == "probe"
    ]
    with pytest.raises(ConfigError, match="global_batch_size"):
        write_arrays(Site(time="1", ranks_per_node=7, gpus_per_node=0), arrays, made.places.out, 1)


def test_a_path_that_a_script_cannot_hold_is_refused(made: MadeUp) -> None:
    with pytest.raises(ConfigError, match="letters, digits"):
        write_arrays(SITE, [], made.folder / "so $HOME it is", 1)


def test_arrays_wait_for_what_was_submitted_before(
    made: MadeUp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made.task()
    text = f"title: T\nparts:\n  - tasks: [{made.task()}]\n    protocols: [probe_ridge, probe_knn]\nyardsticks: []\n"
    (made.folder / "grey.yaml").write_text(text)
    submitted: list[tuple[str, tuple[str, ...]]] = []

    def submit(script: Path, *options: str) -> str:
        submitted.append((script.stem, options))
        return str(100 + len(submitted))

    monkeypatch.setattr(suites, "submit", submit)
    monkeypatch.setattr(suites, "count_hours", hours_of)

    def launch() -> argparse.Namespace:
        places = ("--corpus", made.shards, "--labels", made.labels, "--out", made.places.out)
        suite = ("suite", "cpu_test", made.folder / "grey.yaml")
        return parse([*map(str, suite), *PIXELS, *map(str, places), "site.time=00:05:00"])

    assert run(launch()) == 0
    assert submitted == [
        ("features", ()),
        ("readouts", ("--dependency=afterany:101",)),
        ("table", ("--dependency=afterany:101:102",)),
    ]
    table = (made.places.out / "jobs" / "table.sbatch").read_text()
    assert f"--corpus={made.shards}" in table and "weights=pixels=pixels" in table
    assert "--table" in table and "--requeue" not in table
    script = (made.places.out / "jobs" / "features.sbatch").read_text()
    assert "--time=00:05:00" in script and "--nodes=1" in script

    run(launch())
    assert submitted[3] == ("features", ("--dependency=afterany:101:102:103",))
    assert "the same command again" in capsys.readouterr().out
