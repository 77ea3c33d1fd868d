"""Probes of features, from a packed corpus to predictions."""

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build, to_yaml
from surgstream.trainer.distributed import RankInfo, rank_info_from_environment
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.predictions.stored import Predictions, read_predictions
from surgstream.trainer.readouts import on_features, sequences
from surgstream.trainer.readouts.config import ProbeRecipe
from surgstream.trainer.session.process import session
from tests.helpers.labelled import LENGTHS, GreyEncoder, write_labelled, write_task
from tests.helpers.packing import contents
from tests.helpers.ranks import finish, start_ranks, wait_for

pytestmark = pytest.mark.usefixtures("alone")

HERE = RankInfo()
SMALL = {
    "name": "temporal", "stages": 2, "layers": 3, "width": 8, "epochs": 6, "lrs": [1e-3, 3e-2], "seeds": [0, 1],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus `shards`, its `labels`, and a task of each kind."""
    folder = tmp_path_factory.mktemp("labelled")
    write_labelled(folder)
    for name in ("phases", "tools", "score"):
        write_task(folder, name)
    return folder


@pytest.fixture(autouse=True)
def grey(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_features, "load_frozen", lambda *_: GreyEncoder())


def recipe(folder: Path, run_dir: Path, readout: dict[str, Any], **changes: Any) -> ProbeRecipe:
    tree = {
        "run_dir": str(run_dir),
        "task": str(folder / "phases.yaml"),
        "labels": str(folder / "labels"),
        "weights": "grey",
        "readout": readout,
        "features": str(folder / "features"),
        "micro_batch_size": 4,
        "data": {"corpus": str(folder / "shards")},
    }
    return build(ProbeRecipe, tree | changes, where="test")


def guards(stop_after: int = 10**9, cause: tuple[str, int] = ("SIGTERM", 0)) -> Any:
    """Guards that are told to stop when they are asked for the n-th time."""
    asked: list[None] = []
    agreement = SimpleNamespace(
        ask_all=lambda: None,
        stopping=lambda: len(asked.append(None) or asked) >= stop_after,
        close=lambda: None,
        cause=cause,
    )
    return SimpleNamespace(
        agreement=agreement,
        watchdog=SimpleNamespace(beat=lambda: None),
        profiler=SimpleNamespace(close=lambda: None),
        check_owner=lambda: None,
    )


def run(made: ProbeRecipe, stop_after: int = 10**9) -> Path:
    Path(made.run_dir).mkdir(exist_ok=True)

    def begin() -> Any:
        (Path(made.run_dir) / "config.yaml").write_text(to_yaml(made))  # as the command does
        return guards(stop_after)

    on_features.run(made, HERE, begin)
    return Path(made.run_dir)


def predictions(run_dir: Path, name: str = "test") -> Predictions:
    return read_predictions(run_dir / "predictions" / f"{name}.npz")


def grid(run_dir: Path) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((run_dir / "grid.json").read_text())
    return tree


@pytest.mark.parametrize("readout", ["ridge", "knn"])
@pytest.mark.parametrize("task", ["phases", "tools", "score"])
def test_what_grey_tells_is_found(folder: Path, tmp_path: Path, readout: str, task: str) -> None:
    made = recipe(folder, tmp_path, {"name": readout}, task=str(folder / f"{task}.yaml"))
    found = grid(run(made))
    assert found["metric"] == {"phases": "image_accuracy", "tools": "map", "score": "mae"}[task]
    scores = [row["score"] for row in found["candidates"]]
    best = min(scores) if task == "score" else max(scores)
    assert scores.index(best) == found["chosen"]["candidate"], "of equals the first"

    test = predictions(tmp_path)
    assert [*test.videos] == ["v6", "v7"] and [*predictions(tmp_path, "val").videos] == ["v4", "v5"]
    settings = found["candidates"][found["chosen"]["candidate"]]
    assert test.about["readout"] == readout and test.about["val_score"] == settings.pop("score")
    assert settings and settings.items() <= test.about.items()
    for number, video in ((6, test.videos["v6"]), (7, test.videos["v7"])):
        if task == "score":
            assert video.seconds.tolist() == [0] and video.predicted is not None
        else:
            assert video.seconds.tolist() == list(range(LENGTHS[number] // 2))
    if task == "phases":
        assert best > 0.9


def test_the_clips_of_a_row_are_averaged(folder: Path, tmp_path: Path) -> None:
    clips = {"segments": 3, "stride": 1}
    task = str(folder / "score.yaml")
    readout = {"name": "knn", "neighbours": [1]}
    run(recipe(folder, tmp_path, readout, task=task, clips=clips))
    for video in predictions(tmp_path).videos.values():
        assert video.predicted is not None and len(video.predicted) == 1
        # Of three nearest clips each has the score of its video: thirds of sums of halves.
        assert (video.predicted * 6) % 1 == pytest.approx(0, abs=1e-4)


def test_without_validation_there_is_nothing_to_choose(folder: Path, tmp_path: Path) -> None:
    split = {"train": ["v[0-5]"], "test": ["v[6-7]"], "source": "Ours."}
    task = write_task(tmp_path, "phases", split=split)
    with pytest.raises(
        ConfigError, match=r"readout\.penalties: expected one value, as phases has no"
    ):
        run(recipe(folder, tmp_path, {"name": "ridge"}, task=task))
    run(recipe(folder, tmp_path, {"name": "ridge", "penalties": [0.1]}, task=task))
    assert grid(tmp_path)["candidates"] == [{"penalty": 0.1, "score": None}]
    assert [path.name for path in (tmp_path / "predictions").iterdir()] == ["test.npz"]


@pytest.mark.parametrize(
    ("readout", "changes", "sentence"),
    [
        (SMALL, {"task": "score"}, "as score labels whole videos, which are no sequences"),
        ({"name": "ridge"}, {"clips": {"balance": "classes"}}, r"clips\.balance: expected none for ridge"),
        ({"name": "knn", "neighbours": [5, 5]}, {}, r"readout\.neighbours: expected one value or more, each once"),
        (SMALL | {"seeds": []}, {}, r"readout\.seeds: expected one or more"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_in_a_sentence(
    folder: Path, tmp_path: Path, readout: dict[str, Any], changes: dict[str, Any], sentence: str
) -> None:
    if "task" in changes:
        changes = {"task": str(folder / f"{changes['task']}.yaml")}
    with pytest.raises(ConfigError, match=sentence):
        run(recipe(folder, tmp_path, readout, **changes))


@pytest.mark.parametrize("task", ["phases", "tools"])
def test_temporal_networks_of_all_seeds_are_tested_at_the_best_rate(
    folder: Path, tmp_path: Path, task: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        run(recipe(folder, tmp_path, SMALL, task=str(folder / f"{task}.yaml")))
    seeds = [f"temporal={tmp_path}/predictions/test_seed{seed}.npz" for seed in (0, 1)]
    assert " ".join(seeds) in caplog.messages[-1], "seeds of one model"

    found = grid(tmp_path)
    assert [row["lr"] for row in found["candidates"]] == [1e-3, 3e-2]
    for row in found["candidates"]:
        assert row["score"] == pytest.approx(np.mean([*row["seeds"].values()]))
    assert found["chosen"]["candidate"] == 1 and found["candidates"][1]["score"] > 0.8

    names = {path.name for path in (tmp_path / "predictions").iterdir()}
    assert names == {f"{split}_seed{seed}.npz" for split in ("val", "test") for seed in (0, 1)}
    first, second = (predictions(tmp_path, f"test_seed{seed}") for seed in (0, 1))
    assert first.about["network_seed"] == 0 and first.about["lr"] == 3e-2
    assert not np.array_equal(first.videos["v6"].scores, second.videos["v6"].scores)


def test_a_rate_that_diverges_is_not_chosen(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequences, "train", lambda *_, lr, key, **__: lr != 3e-2 or key % 2)
    run(recipe(folder, tmp_path, SMALL | {"seeds": [0, 1, 2, 3]}))
    found = grid(tmp_path)
    assert found["candidates"][1]["score"] is None and found["chosen"]["candidate"] == 0
    diverged = [seed for seed, score in found["candidates"][1]["seeds"].items() if score is None]
    assert diverged and found["told"] == ["lr 0.03 diverged with some seeds"]

    monkeypatch.setattr(sequences, "train", lambda *_, **__: False)
    with pytest.raises(EvaluationError, match="did all networks diverge"):
        run(recipe(folder, tmp_path / "all", SMALL))


@pytest.mark.slow
def test_being_stopped_loses_one_network_at_most(folder: Path, tmp_path: Path) -> None:
    whole = run(recipe(folder, tmp_path / "whole", SMALL))
    cut = tmp_path / "cut"
    # Three shards, then networks.
    run(recipe(folder, cut, SMALL), stop_after=5)
    assert "SIGTERM on rank 0" in (cut / "REQUEUE").read_text()
    kept = {path: path.stat().st_mtime_ns for path in (cut / "networks").iterdir()}
    assert len(kept) == 2 and not (cut / "predictions").exists()

    # One of them is damaged, and trained again.
    damaged = sorted(kept)[0]
    damaged.write_bytes(damaged.read_bytes()[:-9])
    del kept[damaged]
    run(recipe(folder, cut, SMALL))
    assert all(path.stat().st_mtime_ns == was for path, was in kept.items())
    for name in ("networks", "predictions"):
        assert contents(cut / name) == contents(whole / name)

    # Other networks are not taken for them, where a probe is begun anew before its test.
    other = tmp_path / "other"
    run(recipe(folder, other, SMALL), stop_after=5)
    run(recipe(folder, other, SMALL | {"dropout": 0.1}))
    assert contents(other / "networks") != contents(whole / "networks")


@pytest.mark.parametrize(
    "readout", [{"name": "ridge"}, SMALL | {"epochs": 1}], ids=["ridge", "tcn"]
)
def test_the_test_is_asked_once(folder: Path, tmp_path: Path, readout: dict[str, Any]) -> None:
    run(recipe(folder, tmp_path, readout))
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "predictions").iterdir()}
    run(recipe(folder, tmp_path, readout, protocol="renamed"))

    for changes in ({"seed": 5}, {"task": str(folder / "tools.yaml")}, {"weights": "random"}):
        with pytest.raises(
            EvaluationError, match=f"got another: {next(iter(changes))}: .* another run_dir"
        ):
            run(recipe(folder, tmp_path, readout, **changes))
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_other_features_are_another_probe(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe(folder, tmp_path, {"name": "ridge"})
    run(made)
    retrained = GreyEncoder()
    retrained.identity = "1" * 64
    monkeypatch.setattr(on_features, "load_frozen", lambda *_: retrained)
    with pytest.raises(EvaluationError, match=r"test\.npz: it was predicted from other features"):
        run(made)


@pytest.mark.parametrize("content", ["global_batch_size: 4\n", None])
def test_the_results_of_another_run_are_not_lost(
    folder: Path, tmp_path: Path, content: str | None
) -> None:
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "test.npz").write_bytes(b"another run's")
    if content:
        (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(
        EvaluationError, match=r"config\.yaml is not that of a probe; choose another"
    ):
        run(recipe(folder, tmp_path, {"name": "ridge"}))
    assert (tmp_path / "predictions" / "test.npz").read_bytes() == b"another run's"


def test_one_rate_that_diverges_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequences, "train", lambda *_, **__: False)
    with pytest.raises(
        EvaluationError, match=r"readout\.lrs: expected networks that do not diverge"
    ):
        run(recipe(folder, tmp_path, SMALL | {"lrs": [0.1]}))


def test_a_video_whose_frames_are_all_damaged_is_named(folder: Path, tmp_path: Path) -> None:
    made = recipe(folder, tmp_path, {"name": "ridge"}, features=str(tmp_path / "features"))
    run(made)
    (stored,) = (tmp_path / "features").rglob("knee-000002.npy")
    records = np.load(stored)
    np.save(stored, records[records["row"] < LENGTHS[5]])  # v5 alone
    extraction = on_features.open_extraction(on_features.features_recipe(made), GreyEncoder(), HERE)
    assert extraction.task
    with pytest.raises(EvaluationError, match="v6: expected features of 14 rows, got none"):
        on_features.fit_and_test(
            made.readout,
            extraction,
            extraction.task,
            tmp_path,
            HERE.device,
            {},
            with_test=True,  # type: ignore[arg-type]
        )


def as_rank(made: ProbeRecipe) -> None:
    """Run as one of several ranks, in a session of its own."""
    on_features.load_frozen = lambda *_: GreyEncoder()
    rank_info = rank_info_from_environment(os.environ)
    with session(Path(made.run_dir), rank_info, 60) as found:
        on_features.run(made, found.rank_info, found.make_guards)


@pytest.mark.slow
@pytest.mark.parametrize("readout", [{"name": "ridge"}, SMALL], ids=["ridge", "temporal"])
def test_two_ranks_find_what_one_does(
    folder: Path, tmp_path: Path, readout: dict[str, Any]
) -> None:
    one, two = (recipe(folder, tmp_path / name, readout, features=None) for name in ("one", "two"))
    run(one)
    assert finish(start_ranks(as_rank, 2, (two,))) == [0, 0]
    for name in ("features", "predictions"):
        assert contents(tmp_path / "two" / name) == contents(tmp_path / "one" / name)
    assert grid(tmp_path / "two") == grid(tmp_path / "one")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_was_killed_in_mid_grid_ends_as_if_it_was_not(
    folder: Path, tmp_path: Path, number: int
) -> None:
    readout = SMALL | {"epochs": 25}
    run(recipe(folder, tmp_path / "whole", readout))
    cut = recipe(folder, tmp_path / "cut", readout)
    ranks = start_ranks(as_rank, 1, (cut,))
    wait_for(lambda: any((tmp_path / "cut" / "networks").glob("lr_*")))
    os.kill(ranks[0].pid or 0, number)
    assert finish(ranks) == [-signal.SIGKILL if number == signal.SIGKILL else 0]
    assert not (tmp_path / "cut" / "grid.json").exists(), "it was killed too late"
    assert (tmp_path / "cut" / "REQUEUE").exists() is (number == signal.SIGTERM)

    assert finish(start_ranks(as_rank, 1, (cut,))) == [0]
    assert not (tmp_path / "cut" / "REQUEUE").exists()
    for name in ("networks", "predictions"):
        assert contents(tmp_path / "cut" / name) == contents(tmp_path / "whole" / name)
