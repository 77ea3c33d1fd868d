"""The same probe of every checkpoint: what is done once, what is refused, and what a run that goes on adds."""

import json
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from surgstream.configs.errors import ConfigError
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.encoders.choice import load_frozen
from surgstream.trainer.encoders.config import FrozenConfig
from surgstream.trainer.engine.checkpoint_files import read_state
from surgstream.trainer.errors import CheckpointError, EvaluationError, ModelError
from surgstream.trainer.evaluation.predictions.stored import read_predictions
from surgstream.trainer.evaluation.tasks.opening import find_judged_task
from surgstream.trainer.readouts import trajectory
from surgstream.trainer.readouts.config import ProbeRecipe
from surgstream.trainer.readouts.curve import Curve, CurvePoint
from surgstream.trainer.readouts.trajectory import Trajectory, load_recipe
from tests.helpers.labelled import GreyEncoder, write_labelled, write_task
from tests.helpers.ranks import finish, start, wait_for

BANK = (
    "readout={name: attentive, self_blocks: 0, num_heads: 2, mlp_ratio: 1, "
    "grid: {lrs: [3e-3, 1e-3], weight_decays: [0.01]}}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus `shards`, its `labels`, and a task."""
    folder = tmp_path_factory.mktemp("labelled")
    write_labelled(folder)
    write_task(folder, "phases")
    (folder / "protocol.yaml").write_text(
        "{protocol: ours, run_dir: nowhere, readout: {name: ridge}, global_batch_size: 8, "
        "micro_batch_size: 4, epochs: 1, data: {decode: {threads: 1}, order: {open_chunks: 2}}}"
    )
    return folder


def words(folder: Path, run_dir: Path, *overrides: str) -> list[str]:
    return [
        f"task={folder / 'phases.yaml'}",
        f"labels={folder / 'labels'}",
        f"data.corpus={folder / 'shards'}",
        f"run_dir={run_dir}",
        "leaks=allow",  # the pretraining sees all videos of the task
        *overrides,
    ]


def recipe(folder: Path, run_dir: Path, *overrides: str) -> ProbeRecipe:
    return load_recipe(folder / "protocol.yaml", words(folder, run_dir, *overrides))


def tree(run_dir: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run_dir / "curve.json").read_text())
    return found


class MadeUpRun:
    """A directory with checkpoints that no one can read, and a probe of them that counts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.probed: list[int] = []
        self.stop_at: int | None = None

    def save(self, *steps: int) -> None:
        for step in steps:
            checkpoint = self.folder / "checkpoints" / f"step_{step:08d}"
            checkpoint.mkdir(parents=True)
            (checkpoint / "state.json").write_text(f"state of {step}")

    def delete(self, step: int) -> None:
        shutil.rmtree(self.folder / "checkpoints" / f"step_{step:08d}")

    def probe(self, recipe: ProbeRecipe, encoder: Any) -> bool:
        cell = Path(recipe.run_dir)
        step = int(cell.name.removeprefix("step_"))
        self.probed.append(step)
        assert not (cell / "REQUEUE").exists() and not recipe.test
        if step == self.stop_at:
            (cell / "REQUEUE").write_text("SIGTERM on rank 0\n")
            return False
        (cell / "grid.json").write_text(json.dumps({"val": None if step == 3 else step / 10}))
        return True


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeUpRun:
    run = MadeUpRun(tmp_path / "run")
    monkeypatch.setattr(trajectory, "load_frozen", lambda *_: GreyEncoder())
    monkeypatch.setattr(trajectory, "damage", lambda _: None)
    monkeypatch.setattr(trajectory, "checkpoint_of", lambda place: place)
    monkeypatch.setattr(trajectory, "read_state", lambda _: {"config": {"seed": 5}})
    return run


def follow(folder: Path, made_up: MadeUpRun, *overrides: str) -> bool:
    made = recipe(folder, made_up.folder.parent / "curve", *overrides)
    Path(made.run_dir).mkdir(exist_ok=True)
    made_up.probed.clear()
    return Trajectory(made, made_up.folder, RankInfo()).follow(made_up.probe)


@pytest.mark.usefixtures("alone")
def test_what_is_there_is_not_done_again(folder: Path, made_up: MadeUpRun) -> None:
    made_up.save(4, 3)
    assert follow(folder, made_up)
    assert made_up.probed == [0, 3, 4]
    assert follow(folder, made_up) and made_up.probed == []

    # The run goes on, and deletes what is old
    made_up.delete(3)
    made_up.save(10)
    assert follow(folder, made_up) and made_up.probed == [10]
    found = tree(made_up.folder.parent / "curve")
    assert [(row["step"], row["value"]) for row in found["points"]] == [
        (0, 0.0), (3, None), (4, 0.4), (10, 1.0),
    ]  # fmt: skip
    assert found["metric"] == "image_accuracy" and found["higher_is_better"]
    assert found["points"][0]["checkpoint"] == "random"
    assert not found["recipe"].keys() & {"weights", "run_dir"}


@pytest.mark.usefixtures("alone")
def test_what_is_saved_meanwhile_gets_a_point_as_well(
    folder: Path, made_up: MadeUpRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up.save(1, 2)
    usual = made_up.probe

    def probe(recipe: ProbeRecipe, encoder: Any) -> bool:
        if recipe.run_dir.endswith("1"):
            made_up.delete(2)
            made_up.save(5)
        return usual(recipe, encoder)

    monkeypatch.setattr(made_up, "probe", probe)
    assert follow(folder, made_up) and made_up.probed == [0, 1, 5]


@pytest.mark.usefixtures("alone")
def test_a_checkpoint_that_is_deleted_when_it_is_read_is_passed_over(
    folder: Path, made_up: MadeUpRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up.save(1, 2)

    def load(weights: str, *_: Any) -> GreyEncoder:
        if weights.endswith("1"):
            made_up.delete(1)
            raise CheckpointError("gone")
        return GreyEncoder()

    monkeypatch.setattr(trajectory, "load_frozen", load)
    assert follow(folder, made_up) and made_up.probed == [0, 2]

    def refuse(*_: Any) -> GreyEncoder:
        raise ModelError("encoder.layout: expected auto")

    made_up.save(3)
    monkeypatch.setattr(trajectory, "load_frozen", refuse)
    with pytest.raises(ModelError, match="expected auto"):
        follow(folder, made_up)


@pytest.mark.usefixtures("alone")
def test_damaged_ones_are_passed_over_until_they_are_whole(
    folder: Path, made_up: MadeUpRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up.save(1, 2)
    monkeypatch.setattr(
        trajectory, "damage", lambda path: "cut short" if path.name.endswith("1") else None
    )
    assert follow(folder, made_up) and made_up.probed == [0, 2]
    monkeypatch.setattr(trajectory, "damage", lambda _: None)
    assert follow(folder, made_up) and made_up.probed == [1]


@pytest.mark.usefixtures("alone")
def test_being_stopped_is_told_of_the_whole(folder: Path, made_up: MadeUpRun) -> None:
    made_up.save(1, 2)
    made_up.stop_at = 1
    assert not follow(folder, made_up) and made_up.probed == [0, 1]
    mark = made_up.folder.parent / "curve" / "REQUEUE"
    assert mark.read_text() == "step_00000001: SIGTERM on rank 0\n"

    # The mark of the point goes when it is begun again
    made_up.stop_at = None
    assert follow(folder, made_up) and made_up.probed == [1, 2]


@pytest.mark.usefixtures("alone")
def test_random_weights_are_those_of_the_run_s_seed(
    folder: Path, made_up: MadeUpRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(
        trajectory,
        "load_frozen",
        lambda weights, _, seed: asked.append((weights, seed)) or GreyEncoder(),
    )
    made_up.save(1)
    assert follow(folder, made_up, "seed=9")
    run = made_up.folder
    assert asked == [(f"random:{run}", 5), (f"{run}/checkpoints/step_00000001", 9)]


@pytest.mark.usefixtures("alone")
def test_another_recipe_run_or_checkpoint_is_refused(folder: Path, made_up: MadeUpRun) -> None:
    made_up.save(1)
    assert follow(folder, made_up)
    with pytest.raises(EvaluationError, match=r"seed: 0 -> 1; choose another run_dir"):
        follow(folder, made_up, "seed=1")
    assert follow(folder, made_up, "micro_batch_size=2"), "which decides nothing"

    made_up.delete(1)
    made_up.save(2)
    other = made_up.folder / "checkpoints" / "step_00000001"
    other.mkdir()
    (other / "state.json").write_text("another")
    with pytest.raises(CheckpointError, match="another one of this step"):
        follow(folder, made_up)

    other = MadeUpRun(made_up.folder.parent / "other")
    other.save(1)
    with pytest.raises(EvaluationError, match=r"run: .*/run -> .*/other"):
        follow(folder, other)


@pytest.mark.usefixtures("alone")
def test_a_run_without_checkpoints_is_refused(folder: Path, made_up: MadeUpRun) -> None:
    made_up.folder.mkdir()
    with pytest.raises(CheckpointError, match="got one without; call again once it has"):
        follow(folder, made_up)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "{}", '{"recipe": 1, "run": "", "points": []}', "[" * 100_000, '"\\ud800"',
        '{"recipe": {}, "run": "", "points": [{"step": true, "checkpoint": "", "value": 1}]}',
        '{"recipe": {}, "run": "", "points": [{"step": 1, "checkpoint": "", "value": NaN}]}',
        '{"recipe": {}, "run": "", "points": [{"step": 1, "checkpoint": "", "value": []}]}',
        '{"recipe": {}, "run": "", "points": 5}',
    ],
)  # fmt: skip
def test_a_damaged_curve_is_told(folder: Path, made_up: MadeUpRun, content: str) -> None:
    made_up.save(1)
    (made_up.folder.parent / "curve").mkdir()
    (made_up.folder.parent / "curve" / "curve.json").write_text(content)
    with pytest.raises(EvaluationError, match=r"curve\.json: expected a curve, .* delete it"):
        follow(folder, made_up)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("content", ["", "{}", "[]", '{"val": "x"}'])
def test_a_grid_without_a_score_is_told(
    folder: Path, made_up: MadeUpRun, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    made_up.save(1)

    def probe(recipe: ProbeRecipe, _: Any) -> bool:
        (Path(recipe.run_dir) / "grid.json").write_text(content)
        return True

    monkeypatch.setattr(made_up, "probe", probe)
    with pytest.raises(EvaluationError, match=r"grid\.json: expected the score"):
        follow(folder, made_up)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["weights=random"], "weights: expected none beside --every-checkpoint"),
        (["test=true"], "test: expected false beside --every-checkpoint"),
    ],
)
def test_what_a_curve_cannot_have_is_refused(
    folder: Path, tmp_path: Path, overrides: Sequence[str], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        recipe(folder, tmp_path, *overrides)


def test_the_test_is_not_asked_even_where_nothing_else_is_left(
    folder: Path, tmp_path: Path
) -> None:
    split = {"train": ["v[0-5]"], "test": ["v[6-7]"], "source": "Ours."}
    task = write_task(tmp_path, "phases", split=split)
    with pytest.raises(ConfigError, match="task: expected one with validation videos"):
        Trajectory(recipe(folder, tmp_path / "curve", f"task={task}"), tmp_path, RankInfo())
    with pytest.raises(ConfigError, match="run_dir: expected another directory"):
        Trajectory(recipe(folder, tmp_path), tmp_path, RankInfo())


def curve(folder: Path, tmp_path: Path, points: Sequence[tuple[int, float | None]]) -> Curve:
    task = find_judged_task(str(folder / "phases.yaml"))
    made = Curve(recipe=recipe(folder, tmp_path), task=task, run=tmp_path / "run")
    (tmp_path / "run").mkdir()
    made.points = [CurvePoint(step=step, checkpoint="c", value=value) for step, value in points]
    return made


def test_the_picture_has_both_curves(folder: Path, tmp_path: Path) -> None:
    made = curve(folder, tmp_path, [(0, 0.2), (100, 0.3), (200, None), (300, 0.6)])
    lines = [{"step": step, "loss/total": 2.0 - step / 400} for step in range(1, 401)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    torn = '{"step": 401, "loss/to'
    (tmp_path / "run" / "metrics.jsonl").write_text(f'{text}{{"step": 3}}\n[]\nx\n{torn}')
    made.draw()

    root = ElementTree.fromstring((tmp_path / "curve.svg").read_text())
    svg = "{http://www.w3.org/2000/svg}"
    texts = [text.text for text in root.iter(f"{svg}text")]
    assert "image_accuracy, validation videos" in texts and "loss of the pretraining" in texts
    assert {"checkpoints", "random weights", "loss"} <= {*texts}
    assert len([*root.iter(f"{svg}circle")]) == 2, "random weights and the loss have no dots"
    paths = [path.attrib["d"].count("L") for path in root.iter(f"{svg}path")]
    assert max(paths) == 200 - 1, "stretches of two steps"


@pytest.mark.parametrize(
    "points", [[], [(0, 0.0)], [(0, None)], [(0, 0.5)], [(5, 0.0)], [(0, -0.2), (4, -0.1)]]
)
def test_a_picture_of_little_is_drawn_as_well(
    folder: Path, tmp_path: Path, points: list[tuple[int, float | None]]
) -> None:
    made = curve(folder, tmp_path, points)
    made.draw()
    known = [value for _, value in points if value is not None]
    assert (tmp_path / "curve.svg").exists() == bool(known)


PRETRAIN = (
    "global_batch_size=8", "micro_batch_size=4", "clips_per_epoch=32", "epochs=2", "data.fps=2",
    "data.order={open_chunks: 4, chunk_frames: 8}", "data.audit_log=false", "held_out=null", "probe=null",
    "objective.encoder.embed_dim=48", "objective.encoder.depth=1", "objective.encoder.num_heads=2",
    "objective.encoder.image_size=32", "objective.decoder.embed_dim=32", "objective.decoder.depth=1",
    "objective.decoder.num_heads=2", "optim.warmup_epochs=0", "seed=3",
    "checkpoint={every_steps: 2, keep_last: 2}",
    "metrics={every_steps: 1, pictures_every_steps: 0, collapse_every_steps: 0}",
)  # fmt: skip


def pretrain(folder: Path, run: Path, last_step: int) -> None:
    given = [*PRETRAIN, f"data.corpus={folder / 'shards'}", f"run_dir={run}"]
    command = ["pretrain", "configs/pretrain/surgrec_mae_tiny.yaml", *given]
    log = run.with_suffix(".log")
    assert finish(start([*command, f"max_steps={last_step}"], 1, log)) == [0], read(log)


def read(log: Path) -> str:
    return log.with_name(f"{log.name}.rank0").read_text()


def begin(folder: Path, run: Path, run_dir: Path, world_size: int, *overrides: str) -> Any:
    given = words(folder, run_dir, *overrides)
    command = ["probe", str(folder / "protocol.yaml"), "--every-checkpoint", str(run), *given]
    return start(command, world_size, run_dir.with_suffix(".log"))


def drawn(
    folder: Path, run: Path, run_dir: Path, world_size: int, *overrides: str
) -> dict[str, Any]:
    ranks = begin(folder, run, run_dir, world_size, *overrides)
    assert finish(ranks) == [0] * world_size, read(run_dir.with_suffix(".log"))
    return tree(run_dir)


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("pretraining") / "run"
    pretrain(folder, run, 4)
    return run


@pytest.mark.slow
def test_random_weights_are_those_that_the_run_began_with(run: Path) -> None:
    from surgstream.trainer.config import restore_recipe
    from surgstream.trainer.objectives import choice

    state = read_state(run / "checkpoints" / "step_00000004")
    config = restore_recipe(state["config"], where="state")
    began = choice.build(config.objective, seed=config.seed).encoder.state_dict()
    found = load_frozen(f"random:{run}", FrozenConfig(), config.seed)
    weights = found.get_submodule("encoder").state_dict()
    assert weights.keys() == began.keys()
    assert all(torch.equal(weights[name], began[name]) for name in began)


@pytest.mark.slow
def test_a_run_that_goes_on_adds_to_its_curve(folder: Path, run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(run, tmp_path / "run"))
    out = tmp_path / "curve"
    found = drawn(folder, run, out, 1)
    assert [row["step"] for row in found["points"]] == [0, 2, 4]
    assert all(0 <= row["value"] <= 1 for row in found["points"])
    assert not [*out.rglob("test*.npz")], "the test was asked"
    grids = {path: path.stat().st_mtime_ns for path in out.rglob("grid.json")}

    pretrain(folder, run, 6)
    found = drawn(folder, run, out, 1)
    assert [row["step"] for row in found["points"]] == [0, 2, 4, 6]
    assert {path: path.stat().st_mtime_ns for path in grids} == grids
    assert "loss of the pretraining" in (out / "curve.svg").read_text()

    # One of the points, tested on its own
    cell = out / "step_00000006"
    command = ["probe", str(folder / "protocol.yaml"), *words(folder, cell)]
    command.append(f"weights={run / 'checkpoints' / 'step_00000006'}")
    assert finish(start(command, 1, tmp_path / "test.log")) == [0]
    tested = read_predictions(cell / "predictions" / "test.npz")
    assert [*tested.videos] == ["v6", "v7"]


@pytest.mark.slow
def test_two_ranks_are_one_and_being_stopped_changes_nothing(
    folder: Path, run: Path, tmp_path: Path
) -> None:
    one = drawn(folder, run, tmp_path / "one", 1, BANK)
    two = drawn(folder, run, tmp_path / "two", 2, BANK)
    values = [[row["value"] for row in found["points"]] for found in (one, two)]
    assert np.allclose(*values, atol=1e-5) and len(values[0]) == 3

    cut = tmp_path / "cut"
    ranks = begin(folder, run, cut, 1, BANK)
    wait_for(lambda: (cut / "step_00000002" / "config.yaml").exists())
    os.kill(ranks[0].pid, signal.SIGTERM)
    assert finish(ranks) == [0]
    assert (cut / "REQUEUE").read_text().startswith("step_00000002: SIGTERM")
    assert len(tree(cut)["points"]) == 1
    assert drawn(folder, run, cut, 1, BANK)["points"] == one["points"]
    assert not [*cut.rglob("REQUEUE")]


@pytest.mark.slow
def test_a_bank_s_point_can_be_tested_afterwards(folder: Path, run: Path, tmp_path: Path) -> None:
    drawn(folder, run, tmp_path / "curve", 1, BANK)
    cell = tmp_path / "curve" / "step_00000004"
    assert (cell / "predictions" / "val.npz").exists()
    assert not (cell / "predictions" / "test.npz").exists()
    command = ["probe", str(folder / "protocol.yaml"), *words(folder, cell, BANK)]
    command.append(f"weights={run.absolute() / 'checkpoints' / 'step_00000004'}")
    assert finish(start(command, 1, tmp_path / "test.log")) == [0], read(tmp_path / "test.log")
    assert (cell / "predictions" / "test.npz").exists()
