"""Whole runs: the same losses however they are spread, interrupted and resumed."""

import json
import os
import platform
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from surgstream.launch.__main__ import main
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.models.decoder import Decoder
from surgstream.trainer.models.images.teacher import Teacher
from surgstream.trainer.models.vit import Encoder
from surgstream.trainer.objectives.surgvista import SurgVista
from surgstream.trainer.runs.files import FAILED, checkpoint_name, read_mark
from surgstream.trainer.runs.state import read_run
from tests.end_to_end.conftest import PACKING, Corpora
from tests.end_to_end.runs import (
    audit,
    close,
    fail,
    interrupt,
    log,
    losses,
    planned,
    reported,
    saving,
    train,
    without_rank,
    words,
)  # fmt: skip
from tests.helpers.checkpoints import contents, stored
from tests.helpers.faults import Fault, Request, fault_proxy
from tests.helpers.ranks import finish, start_ranks
from tests.helpers.s3 import s3_bucket

SPREADS = {
    "1 rank, accumulating 2": (1, ()),
    "1 rank, accumulating 4, recomputing activations": (
        1,
        ("micro_batch_size=4", "objective.encoder.activation_checkpointing=true"),
    ),
    "2 ranks, accumulating 2": (2, ("micro_batch_size=4",)),
    "2 ranks, ZeRO 2": (2, ("parallel.zero_stage=2",)),
    "2 ranks, ZeRO 3": (2, ("parallel.zero_stage=3",)),
}


@pytest.fixture(scope="module")
def whole(
    corpora: Corpora, tmp_path_factory: pytest.TempPathFactory
) -> dict[int, tuple[float, ...]]:
    """The losses of an uninterrupted run on 2 ranks under ZeRO 1."""
    return losses(train(corpora, tmp_path_factory.mktemp("whole") / "run", 2))


@pytest.mark.parametrize("spread", SPREADS)
def test_losses_do_not_depend_on_how_a_batch_is_spread(
    spread: str, whole: dict[int, tuple[float, ...]], corpora: Corpora, tmp_path: Path
) -> None:
    world_size, overrides = SPREADS[spread]
    close(losses(train(corpora, tmp_path / "run", world_size, *overrides)), whole)


def test_a_corpus_on_s3_gives_the_same_run_and_so_does_the_cache(
    whole: dict[int, tuple[float, ...]], corpora: Corpora, tmp_path: Path
) -> None:
    with s3_bucket("surgery") as bucket:
        assert main(["pack", str(corpora.videos / "corpus.yaml"), f"{bucket}/train", *PACKING]) == 0
        assert main(["verify", f"{bucket}/train"]) == 0
        overrides = (
            f"data.corpus={bucket}/train",
            f"data.cache_dir={tmp_path / 'cache'}",
            "max_steps=4",
        )
        cold, warm = (train(corpora, tmp_path / name, 2, *overrides) for name in ("cold", "warm"))
    assert losses(cold) == losses(warm) == {step: whole[step] for step in (1, 2, 3, 4)}
    hits, misses = (sum(line[f"data/cache_{name}"] for line in warm) for name in ("hits", "misses"))
    assert hits > 0 and misses == 0


def test_killed_twice_a_run_goes_on_bit_for_bit(
    whole: dict[int, tuple[float, ...]], corpora: Corpora, tmp_path: Path
) -> None:
    """Once in the middle of training and once in the middle of a save."""
    run_dir = tmp_path / "run"
    interrupt(corpora, run_dir, 2, reported(run_dir, 6), "tracking=mlflow")
    interrupt(corpora, run_dir, 2, saving(run_dir), "tracking=mlflow")
    resumed = losses(train(corpora, run_dir, 2, "tracking=mlflow"))
    assert resumed == whole

    # One record of all starts; steps that were taken again stand there again, with the same loss.
    (curve,) = run_dir.glob("tracking/mlflow/*/*/metrics/loss/reconstruction")
    points = {tuple(line.split()[1:]) for line in curve.read_text().splitlines()}
    assert {(int(step), float(loss)) for loss, step in points} == {
        (step, loss) for step, (loss, *_) in whole.items()
    }

    assert audit(run_dir) == planned(corpora, run_dir, 20 * 16, 2)
    names = sorted(path.name for path in (run_dir / "checkpoints").iterdir())
    assert names == ["step_00000012", "step_00000016", "step_00000020"], (
        "nothing half-written is left"
    )


def test_a_run_whose_directory_is_lost_goes_on_from_its_mirror(
    whole: dict[int, tuple[float, ...]], corpora: Corpora, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    with s3_bucket("mirrors") as bucket:
        overrides = ("max_steps=14", f"checkpoint.mirror={bucket}/run")

        def announced() -> list[str]:
            return re.findall(r"checkpoint step (\d+) is mirrored", log(run_dir))

        def one_is_announced() -> bool:
            return reported(run_dir, 4)() and announced() != []

        interrupt(corpora, run_dir, 2, one_is_announced, *overrides)
        last = int(announced()[-1])
        shutil.rmtree(run_dir)

        resumed = losses(train(corpora, run_dir, 2, *overrides))
        assert min(resumed) > last and max(resumed) == 14
        assert resumed == {step: whole[step] for step in resumed}
        assert f"fetched {checkpoint_name(min(resumed) - 1)} from {bucket}/run" in log(run_dir)
        newest = run_dir / "checkpoints" / checkpoint_name(14)
        assert dict(stored(open_storage(f"{bucket}/run"), newest.name)) == contents(newest)


def test_a_run_that_ends_without_its_mirror_fails_until_it_is_there(
    corpora: Corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_states(request: Request) -> Fault | None:
        is_state = request.method == "PUT" and "state.json" in request.path
        return Fault("refused", status=403, code="AccessDenied") if is_state else None

    run_dir = tmp_path / "run"
    overrides = ("max_steps=4", "data.s3.retry.timeout_seconds=0.1")
    with (
        s3_bucket("refusing") as bucket,
        fault_proxy(os.environ["AWS_ENDPOINT_URL"], refuse_states) as proxy,
    ):
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        mirror = f"checkpoint.mirror={bucket}/run"
        output = fail(corpora, run_dir, 1, *overrides, mirror)
        assert "step_00000004 could not be copied to" in output and "access is denied" in output
        assert f"done and saved in {run_dir}, but step_00000004 is not in {bucket}/run" in output
        assert read_mark(run_dir, FAILED) is None and (run_dir / "costs.jsonl").exists()

        proxy.plan = lambda _: None
        train(corpora, run_dir, 1, *overrides, mirror)
        assert "checkpoint step 4 is mirrored at" in log(run_dir)


def test_a_run_goes_on_with_other_ranks_and_another_zero_stage(
    whole: dict[int, tuple[float, ...]], corpora: Corpora, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    interrupt(corpora, run_dir, 2, reported(run_dir, 6))
    interrupt(corpora, run_dir, 1, reported(run_dir, 10), "parallel.zero_stage=3")
    resumed = losses(train(corpora, run_dir, 2, "parallel.zero_stage=2"))
    close(resumed, whole)
    assert without_rank(audit(run_dir)) == without_rank(planned(corpora, run_dir, 20 * 16, 1))


def test_held_out_losses_and_pictures_change_nothing(
    whole: dict[int, tuple[float, ...]], corpora: Corpora, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    lines = train(
        corpora,
        run_dir,
        2,
        f"held_out={{corpus: {corpora.held_out}, every_steps: 10, clips: 20}}",
        "metrics.pictures_every_steps=10",
    )
    assert losses(lines) == whole
    held_out = {line["step"]: line for line in lines if "held_out/total" in line}
    assert list(held_out) == [10, 20]
    assert all(
        0 < line["held_out/reconstruction"] < 2 and line["held_out/clips"] == 20
        for line in held_out.values()
    )
    assert sorted(path.name for path in (run_dir / "pictures").iterdir()) == [
        "step_00000010.png",
        "step_00000020.png",
    ]
    assert list((run_dir / "tensorboard").iterdir())


def train_watched(arguments: list[str], out: str) -> None:
    """Run; write what was compiled, the precision of each network's forward pass, and the seed of masks and weights."""
    compiled, precisions, seeds = list[str](), set[tuple[str, str]](), set[int]()

    def note(module: torch.nn.Module, _: Any) -> None:
        if isinstance(module, SurgVista):
            seeds.add(module.seed)
        if isinstance(module, (Encoder, Decoder, Teacher)):
            precision = (
                str(torch.get_autocast_dtype("cpu")) if torch.is_autocast_enabled("cpu") else "full"
            )
            precisions.add((type(module).__name__, precision))

    def note_compiled(part: Any, **options: Any) -> Any:
        if isinstance(getattr(part, "__self__", None), SurgVista):  # DeepSpeed compiles as well
            compiled.append(part.__name__)
        return part

    pytest.MonkeyPatch().setattr(torch, "compile", note_compiled)
    torch.nn.modules.module.register_module_forward_pre_hook(note)
    assert main(["pretrain", *arguments]) == 0
    Path(out).write_text(json.dumps([sorted(compiled), sorted(precisions), sorted(seeds)]))


@pytest.mark.parametrize(
    ("overrides", "compiled", "precision", "seed"),
    [
        ((), [], "full", 0),
        (
            ("compile=true", "parallel.autocast=bf16", "seed=7"),
            ["features", "losses"],
            "torch.bfloat16",
            7,
        ),
    ],
)
def test_compilation_precision_and_seed_reach_every_network(
    overrides: tuple[str, ...],
    compiled: list[str],
    precision: str,
    seed: int,
    corpora: Corpora,
    tmp_path: Path,
) -> None:
    out = tmp_path / "found.json"
    arguments = words(corpora, tmp_path / "run", "max_steps=1", *overrides)
    assert finish(start_ranks(train_watched, 1, (arguments, str(out)))) == [0]
    assert json.loads(out.read_text()) == [
        compiled,
        [[network, precision] for network in ("Decoder", "Encoder", "Teacher")],
        [seed],
    ]


@pytest.mark.parametrize("clips", ["null", "1"])
def test_the_held_out_loss_counts_each_clip_once_on_any_ranks(
    corpora: Corpora, tmp_path: Path, clips: str
) -> None:
    """Whatever fills up the last batches; with one clip and two ranks that is all that one of them has."""
    held_out = f"held_out={{corpus: {corpora.held_out}, every_steps: 1, clips: {clips}}}"
    alone = train(corpora, tmp_path / "alone", 1, held_out, "max_steps=1", "micro_batch_size=16")[
        -1
    ]
    spread = ("micro_batch_size=4", "parallel.zero_stage=3")
    together = train(corpora, tmp_path / "together", 2, held_out, "max_steps=1", *spread)[-1]
    frames = sum(
        shard.num_frames for shard in Manifest.load(open_storage(str(corpora.held_out))).shards
    )
    assert (
        alone["held_out/clips"] == together["held_out/clips"] == (frames if clips == "null" else 1)
    )
    assert frames % 8, "there is something to fill up"
    assert alone.pop("time") < together.pop("time")
    assert alone == pytest.approx(together, abs=1e-5)


def test_the_reported_line_says_what_a_user_looks_for(corpora: Corpora, tmp_path: Path) -> None:
    line = train(corpora, tmp_path / "run", 1, "max_steps=2", "metrics.every_steps=2")[0]
    assert line["step"] == 2 and line["progress/clips"] == 32
    assert line["throughput/clips_per_second"] > 0 and line["data/wait_seconds"] >= 0
    parts = [
        line[f"time/{part}_seconds"] for part in ("targets", "forward", "backward", "optimizer")
    ]
    assert min(parts) > 0 and sum(parts) + line["data/wait_seconds"] <= line["time/step_seconds"]
    # Warm-up: base_lr x 16/256 x the share of the warm-up that step 1 has behind it.
    assert line["optim/lr"] == pytest.approx(8e-3 * 16 / 256 * 16 / (0.3 * 8 * 16), rel=0.05)
    run = read_run(tmp_path / "run", time.time())
    assert (run.state, run.step, run.last_step, run.seconds_left) == ("done", 2, 2, 0)
    assert (
        run.epoch == run.last_epoch == pytest.approx(32 / 128)
        and run.losses["total"] == line["loss/total"]
    )
    assert run.checkpoint and run.checkpoint.step == 2 and run.checkpoint.num_bytes > 100_000
    assert (
        run.slowest == {"rank": 0, "host": platform.node(), "over_median": 1.0}
        and run.world_size == 1
    )


def test_a_run_that_is_done_does_nothing(corpora: Corpora, tmp_path: Path) -> None:
    first = train(corpora, tmp_path / "run", 1, "max_steps=4")
    assert train(corpora, tmp_path / "run", 1, "max_steps=4") == first


def test_another_seed_or_weights_at_a_resume_is_an_error_that_names_them(
    corpora: Corpora, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    train(corpora, run_dir, 1, "max_steps=4")
    assert "seed: expected 0 as in the checkpoint of step 4, got 1" in fail(
        corpora, run_dir, 1, "seed=1"
    )
    assert "weights were uniform, now balanced" in fail(
        corpora, run_dir, 1, "data.order.weights=balanced"
    )
    refused = fail(corpora, run_dir, 1, f"data.corpus={corpora.held_out}")
    assert "resume.allow: [corpus]" in refused

    train(
        corpora, run_dir, 1, "max_steps=8", "data.order.weights=balanced", "resume.allow=[weights]"
    )
    train(
        corpora,
        run_dir,
        1,
        "max_steps=12",
        f"data.corpus={corpora.held_out}",
        "resume.allow=[weights, corpus]",
    )
    consumed = audit(run_dir)
    assert [entry["g"] for entry in consumed] == list(range(12 * 16))
    assert consumed[: 4 * 16] == planned(corpora, run_dir, 4 * 16, 1)
