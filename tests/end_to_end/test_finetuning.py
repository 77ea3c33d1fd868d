"""Fine-tuning from labels to predictions: however it is spread, killed and resumed, and the test asked once."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surgstream.configs.presets import presets
from surgstream.launch.__main__ import main
from surgstream.trainer.assembly import open_corpus
from surgstream.trainer.commands.status_page import show
from surgstream.trainer.config import load_recipe
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.engine.checkpoint_files import read_progress, scores_in
from surgstream.trainer.errors import CheckpointError
from surgstream.trainer.evaluation.predictions.stored import Predictions, read_predictions
from surgstream.trainer.finetuning.learned import open_learned
from surgstream.trainer.finetuning.testing import FinalTest
from surgstream.trainer.runs.costs import ENCODER, read_encoder_cost, read_starts
from surgstream.trainer.runs.state import read_run
from tests.end_to_end.finetuning import LENGTHS, VIDEOS, Hospital, scores
from tests.end_to_end.runs import audit, log, metrics, newest, reported, saving
from tests.helpers.ranks import finish, process_group

KEYS = ("loss/cross_entropy", "optim/grad_norm", "val/image_accuracy")


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    return Hospital(tmp_path_factory.mktemp("hospital"))


@pytest.fixture(scope="module")
def whole(hospital: Hospital, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on two ranks under ZeRO 1 that nothing interrupts."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    hospital.finetune(run_dir, 2)
    return run_dir


def learned(run_dir: Path) -> dict[tuple[int, str], float]:
    """Losses, norms and validations by step; each must have been reported once."""
    rows = [
        ((line["step"], key), line[key]) for line in metrics(run_dir) for key in KEYS if key in line
    ]
    assert len(dict(rows)) == len(rows), "a step was reported twice"
    return dict(rows)


def predicted(run_dir: Path, split: str = "test") -> Predictions:
    return read_predictions(run_dir / "predictions" / f"{split}.npz")


def about(run_dir: Path) -> dict[str, Any]:
    return dict(predicted(run_dir).about)


def test_every_clip_is_predicted_once_by_the_best_weights(whole: Path) -> None:
    for split in ("val", "test"):
        found = predicted(whole, split)
        seconds = {name: video.seconds.tolist() for name, video in found.videos.items()}
        assert seconds == {name: [*range(LENGTHS[name])] for name in VIDEOS[split]}
        assert scores(found).sum(1) == pytest.approx(1.0, abs=1e-5)

    validated = {step: value for (step, key), value in learned(whole).items() if "val" in key}
    assert list(validated) == [2, 4, 6, 8]
    best = max(validated, key=lambda step: (validated[step], -step))
    told = about(whole)
    assert told["step"] == best and told["chosen_by"] == "val"
    assert told["val_image_accuracy"] == pytest.approx(validated[best])
    assert (told["task"], told["protocol"], told["weights"]) == (
        "phases",
        "finetune_tiny",
        "random",
    )

    state = read_progress(whole / "checkpoints" / "step_00000008")
    assert scores_in(state) == validated
    names = sorted(path.name for path in (whole / "checkpoints").iterdir())
    assert names == sorted({f"step_{best:08d}", "step_00000008"})


def test_it_is_told_what_the_run_and_its_encoder_cost(whole: Path) -> None:
    assert read_starts(whole)[0].processes == 2
    cost = read_encoder_cost(whole)
    encoder = load_recipe(whole / "config.yaml", []).objective.encoder
    assert cost and cost.parameters and cost.num_frames == encoder.num_frames


def test_training_sees_the_training_videos_alone_with_their_labels(
    hospital: Hospital, tmp_path: Path
) -> None:
    hospital.finetune(tmp_path / "run", 1, "max_steps=4")
    seen = {entry["video"] for entry in audit(tmp_path / "run")}
    assert seen <= {*VIDEOS["train"]} and len(seen) > 2


@pytest.mark.parametrize(
    ("world_size", "overrides"),
    [(1, ()), (2, ("parallel.zero_stage=3",))],
    ids=["1 rank", "2 ranks, ZeRO 3"],
)
def test_however_a_run_is_spread_it_learns_and_predicts_the_same(
    world_size: int, overrides: tuple[str, ...], whole: Path, hospital: Hospital, tmp_path: Path
) -> None:
    found = hospital.finetune(tmp_path / "run", world_size, *overrides)
    assert learned(tmp_path / "run") == pytest.approx(learned(whole), abs=1e-5)
    np.testing.assert_allclose(scores(found), scores(predicted(whole)), atol=1e-5)
    assert about(tmp_path / "run")["step"] == about(whole)["step"]


def test_killed_thrice_a_run_predicts_bit_for_bit_what_it_would_have(
    whole: Path, hospital: Hospital, tmp_path: Path
) -> None:
    """While it trains, while it saves, and while it tests."""
    run_dir = tmp_path / "run"
    hospital.interrupt(run_dir, 2, reported(run_dir, 4))
    hospital.interrupt(run_dir, 2, saving(run_dir))
    hospital.interrupt(run_dir, 2, (run_dir / "predictions" / "val.npz").exists)
    assert not (run_dir / "predictions" / "test.npz").exists()
    hospital.finetune(run_dir, 2)
    assert learned(run_dir) == learned(whole)
    for split in ("val", "test"):
        assert np.array_equal(scores(predicted(run_dir, split)), scores(predicted(whole, split)))
    assert about(run_dir) == about(whole)
    names = sorted(path.name for path in (run_dir / "checkpoints").iterdir())
    assert names == sorted(path.name for path in (whole / "checkpoints").iterdir())


def test_a_run_goes_on_with_other_ranks_and_another_zero_stage(
    whole: Path, hospital: Hospital, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    hospital.interrupt(run_dir, 2, lambda: newest(run_dir) is not None)
    found = hospital.finetune(run_dir, 1, "parallel.zero_stage=3")
    assert learned(run_dir) == pytest.approx(learned(whole), abs=1e-5)
    np.testing.assert_allclose(scores(found), scores(predicted(whole)), atol=1e-5)


def test_a_run_that_is_done_asks_the_test_no_more(whole: Path, hospital: Hospital) -> None:
    files = [*sorted((whole / "predictions").iterdir()), whole / ENCODER]
    before = [(path.name, path.stat().st_mtime_ns) for path in files]
    hospital.finetune(whole, 2)
    assert [(path.name, path.stat().st_mtime_ns) for path in files] == before
    assert "test.npz is there: the test is not asked again" in log(whole)

    page = show([read_run(whole, 0.0)])
    assert "validation   image_accuracy" in page and "at step 8; 4 so far" in page
    assert "test         asked; in predictions" in page


def test_a_run_does_not_begin_where_another_was_tested(hospital: Hospital, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    stored = run_dir / "predictions" / "test.npz"
    stored.parent.mkdir(parents=True)
    stored.write_bytes(b"another run's")
    assert finish(hospital.begin(run_dir, 1)) == [1]
    assert f"{stored}: expected no predictions of the test" in log(run_dir)
    assert stored.read_bytes() == b"another run's"


def test_a_test_that_is_stopped_leaves_nothing_and_is_repeated(
    whole: Path, hospital: Hospital, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(whole, run_dir)
    shutil.rmtree(run_dir / "predictions")
    told = about(whole)
    path = presets("evaluate/protocols")["finetune_tiny"]
    config = load_recipe(path, hospital.words(run_dir)[1:])

    with process_group():
        task = open_learned(config, open_corpus(config.data.corpus, config.data))
        test = FinalTest(
            config=config,
            task=task,
            step=told["step"],
            is_best=True,
            leaks=told["leaks"],
            rank_info=RankInfo(),
        )
        assert not test.run(lambda: True)
        assert not (run_dir / "predictions").exists()
        assert test.run(lambda: False) and test.run(lambda: True), "the second time it is done"
        # One rank takes other batches than two
        np.testing.assert_allclose(scores(predicted(run_dir)), scores(predicted(whole)), atol=1e-6)
        assert about(run_dir) == told

        test.stored.unlink()
        weights = run_dir / "checkpoints" / f"step_{told['step']:08d}"
        shutil.rmtree(weights)
        with pytest.raises(CheckpointError, match="expected the weights to test, got no whole"):
            test.run(lambda: False)


def test_a_fine_tuned_encoder_is_not_exported(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(whole), str(tmp_path / "exported")]) == 1
    assert "got one that was fine-tuned on" in capsys.readouterr().err


def test_numbers_of_videos_are_learned_from_any_frame_and_averaged_over_segments_and_crops(
    hospital: Hospital, tmp_path: Path
) -> None:
    views = ("clips.view=three_crops", "clips.segments=2", "max_steps=2", "objective.mix=null")
    one, two = (
        hospital.finetune(tmp_path / name, ranks, *views, task="skill")
        for name, ranks in (("one", 1), ("two", 2))
    )
    np.testing.assert_allclose(scores(one), scores(two), atol=1e-5)
    assert {name: video.seconds.tolist() for name, video in one.videos.items()} == {
        name: [0.0] for name in VIDEOS["test"]
    }

    config = read_progress(tmp_path / "one" / "checkpoints" / "step_00000002").state["config"]
    labels = [LENGTHS[video] / 2 for video in VIDEOS["train"]]
    objective = config["objective"]
    assert objective["mean"] == pytest.approx(np.mean(labels))
    assert objective["std"] == pytest.approx(np.std(labels))
    assert (objective["kind"], objective["num_outputs"]) == ("number", 1)
    # From weights of 0 two steps do not lead far from the mean
    assert abs(scores(one) - np.mean(labels)).max() < 2 * np.std(labels)


def test_without_validation_videos_or_by_choice_the_last_weights_are_tested(
    hospital: Hospital, tmp_path: Path
) -> None:
    hospital.finetune(tmp_path / "none", 1, "max_steps=3", task="unvalidated")
    assert "has no validation videos: the last weights are tested" in log(tmp_path / "none")
    assert about(tmp_path / "none")["chosen_by"] == "last"

    hospital.finetune(tmp_path / "last", 1, "max_steps=3", "select.by=last")
    told = about(tmp_path / "last")
    assert (told["step"], told["chosen_by"]) == (3, "last")
    assert [
        line["step"] for line in metrics(tmp_path / "last") if "val/image_accuracy" in line
    ] == [
        2,
        3,
    ]
    assert json.dumps(told)
    names = [path.name for path in (tmp_path / "last" / "checkpoints").iterdir()]
    assert names == ["step_00000003"]


def test_an_encoder_is_taken_from_another_runs_weights(
    whole: Path, hospital: Hospital, tmp_path: Path
) -> None:
    weights = whole / "checkpoints" / "step_00000008"
    # Its videos show the same waves
    begun = f"warm_start={{weights: {weights}, parts: encoder}}"
    start = (begun, "max_steps=1", "seed=5", "leaks=allow")
    hospital.finetune(tmp_path / "run", 1, *start)
    assert "weights of" in log(tmp_path / "run") and "without fc_norm, head" in log(
        tmp_path / "run"
    )
    assert about(tmp_path / "run")["weights"] == str(weights)

    positions = (*start, "objective.encoder.positions=sinusoid")
    statuses = finish(hospital.begin(tmp_path / "other", 1, *positions))
    assert statuses != [0]
    assert "expected an encoder trained with sinusoid positions, got sincos" in log(
        tmp_path / "other"
    )
