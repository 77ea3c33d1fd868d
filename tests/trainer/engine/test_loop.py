"""The loop on two ranks, around an objective whose loss is the mean of its clips and an engine that learns nothing.

Clip g has the value g, so that every mean is known; a step takes 8 of them, in 2 micro-batches of 2 on each rank.
"""

import contextlib
import json
import os
import platform
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from surgstream.trainer.batch import ClipBatch, ClipName
from surgstream.trainer.engine.checkpoint import tensors
from surgstream.trainer.engine.checkpoint_files import read_progress
from surgstream.trainer.engine.config import CheckpointConfig
from surgstream.trainer.engine.schedules import Progress, TrainingPlan
from surgstream.trainer.objectives.base import NetworkUse, Objective, ObjectiveOutput
from tests.helpers.ranks import finish, start_ranks

pytestmark = pytest.mark.slow

PLAN = TrainingPlan(
    global_batch_size=8, grad_accum_steps=2, last_step=6, draws_per_epoch=16, warmup_draws=24, total_draws=64,
    start_lr=0.0, peak_lr=1.0, end_lr=0.1, decay="cosine", start_weight_decay=0.1, end_weight_decay=0.5,
)  # fmt: skip


class ClipMean(Objective):
    """Says in its metrics how it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.updates = 0

    def targets(self, batch: ClipBatch) -> Tensor:
        time.sleep(0.05 * int(os.environ["RANK"]))
        return batch.clips.flatten(1).mean(1)

    def draw(self, batch: ClipBatch) -> None: ...

    def losses(self, clips: Tensor, targets: Tensor, draws: None) -> ObjectiveOutput:
        modes = {"loss/training": self.training, "loss/gradients": torch.is_grad_enabled()}
        return ObjectiveOutput(
            self.weight * targets.mean(), {name: torch.tensor(on) for name, on in modes.items()}
        )

    def after_optimizer_step(self) -> None:
        self.updates += 1

    def averages(self) -> dict[str, Tensor]:
        return {"weight": torch.tensor(7.0)}

    def collapse_features(self, batch: ClipBatch) -> dict[str, Tensor]:
        assert not self.training and not torch.is_grad_enabled() and len(batch.clips)
        return {"corners": torch.tensor([[1.0, 0.0], [0.0, 1.0]])}

    def pictures(self, batch: ClipBatch) -> dict[str, Tensor]:
        assert not self.training and not torch.is_grad_enabled()
        return {"original": batch.clips}

    def networks(self) -> dict[str, NetworkUse]:
        return {}


class Engine:
    """What the loop needs of an engine; notes learning rates and weight decays."""

    stage = 1

    def __init__(self, module: ClipMean) -> None:
        self.module, self.steps = module, list[tuple[float, float | None]]()

    def __call__(self, *inputs: Any) -> Any:
        return self.module(*inputs)

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def step(self, lr: float, weight_decay: float | None) -> None:
        self.steps.append((lr, weight_decay))

    def grad_norm(self) -> float:
        return 2.0

    def optimizer_step(self) -> int:
        return 0

    def to_state(self) -> dict[str, Any]:
        return {"spike_guard": "as it is"}

    def values(self) -> dict[str, float]:
        return {"optim/skipped_steps": 3.0}

    def full_state(self) -> Iterator[tuple[str, dict[str, Tensor]]]:
        yield (
            "weight",
            {kind: self.module.weight.data for kind in ("param", "exp_avg", "exp_avg_sq")},
        )


def clip_batch(*g: int, value: float | None = None, num_valid: int = 2) -> ClipBatch:
    values = [float(draw) if value is None else value for draw in g]
    clips = torch.tensor(values).view(-1, 1, 1, 1, 1).expand(-1, 3, 1, 4, 4)
    names = tuple(ClipName("knee", "a", draw) for draw in g)
    return ClipBatch(
        clips=clips, draws=np.array(g), names=names, valid=np.arange(len(g)) < num_valid
    )


def train(out: str) -> None:
    """On each rank: steps 2 to 6 of a resumed run, and others.

    One is stopped while it evaluates after step 3, one while it does so after its last step, and one meets a NaN on
    rank 1 in its step 1.
    """
    from surgstream.trainer.distributed import leave, rank_info_from_environment
    from surgstream.trainer.engine.guards.watchdog import Watchdog
    from surgstream.trainer.engine.loop import Guards, Trainer
    from surgstream.trainer.engine.metrics import Reporting
    from surgstream.trainer.engine.periodic import (
        CollapseCheck,
        HeldOutLoss,
        OpenClips,
        Periodic,
        ReconstructionPictures,
        StepContext,
    )
    from surgstream.trainer.engine.preemption.agreement import StopConsensus, open_store
    from surgstream.trainer.engine.preemption.flags import STOP_SIGNALS, SignalFlag
    from surgstream.trainer.engine.profile import Profiler
    from surgstream.trainer.errors import NonFiniteLossError
    from surgstream.trainer.joining import join

    rank_info = rank_info_from_environment(os.environ)
    join(rank_info, 60)
    first = 2 * rank_info.rank
    draws = [g for g in range(first, 48, 4)]
    held_out = (
        [clip_batch(0, 1, value=value) for value in (0.0, 3.0)],
        [clip_batch(0, 1, value=10.0), clip_batch(31, 999, num_valid=1)],
    )[rank_info.rank]
    shown = clip_batch(0, 1, value=1.0)
    stop, watchdog, beats = SignalFlag(*STOP_SIGNALS), Watchdog(60), list[None]()
    watchdog.beat = lambda: beats.append(None)  # type: ignore[method-assign]

    def stopped_at(step: int, run: Trainer) -> Iterator[ClipBatch]:
        """Held-out batches, the first of which comes with a signal to rank 1."""
        for number, batch in enumerate(held_out * 3):
            if run.step == step and number == 0 and rank_info.rank == 1:
                os.kill(os.getpid(), signal.SIGUSR1)
            if run.step == step == 3:
                time.sleep(0.2)  # longer than ranks take to agree
            yield batch
            evaluated[run.run_dir.name] = number + 1

    def probe(context: StepContext) -> dict[str, float]:
        return {} if context.poll_stop() else {"probe/accuracy": 0.5}

    def periodic(run: Trainer, open_clips: OpenClips | None) -> list[Periodic]:
        """What a run has done every N steps: with held-out clips all of it, else collapse and pictures alone."""
        engine, objective = run.engine, run.objective
        collapse = CollapseCheck(engine, objective, rank_info)
        if open_clips is None:
            pictures = ReconstructionPictures(engine, objective, rank_info, run.run_dir, None)
            return [Periodic(5, collapse), Periodic(4, pictures)]

        loss = HeldOutLoss(engine, objective, rank_info, open_clips)
        preview = lambda: contextlib.nullcontext(iter([shown]))  # noqa: E731
        pictures = ReconstructionPictures(engine, objective, rank_info, run.run_dir, preview)
        tasks = [(3, loss), (4, probe), (5, collapse), (4, pictures)]
        return [Periodic(every_steps, run) for every_steps, run in tasks]

    hardware: Any = SimpleNamespace(
        news=lambda: 100.0 * (1 + rank_info.rank),
        report=lambda news, num_clips: {"energy/joules_per_clip": sum(news) / num_clips},
    )

    def trainer(name: str, batches: list[ClipBatch], **changes: Any) -> Trainer:
        run_dir, objective = Path(out) / name, ClipMean()
        (run_dir / "audit").mkdir(parents=True, exist_ok=True)
        settings = {
            "plan": PLAN,
            "progress": Progress(step=1, clips_seen=8, state={"seed": 3}),
            "rank_info": rank_info,
            "run_dir": run_dir,
            "reporting": Reporting(
                every_steps=2,
                watch=lambda g: {"data/watched": g},
                hardware=hardware,
                audit_log=False,
            ),
            "checkpoint": CheckpointConfig(every_steps=4, keep_last=1),
            "periodic": (),
            "guards": Guards(
                agreement=StopConsensus(stop, open_store(rank_info, 60), rank_info),
                watchdog=watchdog,
                profiler=Profiler(SignalFlag(), rank_info, run_dir),
                check_owner=lambda: None,
            ),
        }
        run = Trainer(Engine(objective), objective, iter(batches), **(settings | changes))  # type: ignore[arg-type]
        run.periodic = periodic(run, lambda: contextlib.nullcontext(iter(held_out)))
        return run

    with contextlib.closing(trainer("run", [clip_batch(g, g + 1) for g in draws[2:]])) as whole:
        pauses, pause = list[int](), whole.clock.pause
        whole.clock.pause = lambda: (pauses.append(whole.step), pause())[1]  # type: ignore[method-assign,func-returns-value]
        whole.train()
    assert pauses == [3, 4, 4, 4, 5, 6, 6, 6, 6, 6], (
        "a pause waits for the device: none where nothing is done"
    )
    assert whole.objective.training and whole.objective.updates == 5  # type: ignore[attr-defined]
    assert len(beats) == 5 + 4 + 2 + 2, (
        "before 5 steps, after 2 held-out batches and in a measure twice, at 2 saves"
    )
    (Path(out) / f"steps{rank_info.rank}.json").write_text(json.dumps(whole.engine.steps))  # type: ignore[attr-defined]

    by_minutes = CheckpointConfig(every_steps=None, every_minutes=1.0, keep_last=9)
    batches = [clip_batch(g, g + 1) for g in draws[2:]]
    with contextlib.closing(trainer("minutes", batches, checkpoint=by_minutes)) as timed:
        timed.periodic = periodic(timed, None)
        timed.late_to_save = lambda: rank_info.is_main and timed.step > timed.last_saved  # type: ignore[method-assign]
        timed.batches = (time.sleep(0.1) or batch for batch in batches)
        timed.train()
        timed.saved_at, late = timed.saved_at - 61, Trainer.late_to_save
        assert late(timed) == rank_info.is_main, "rank 0 alone looks at its clock"
        timed.saved_at += 30
        assert not late(timed)

    evaluated = dict[str, int]()
    for name, step in (("stopped", 3), ("done", 6)):
        halted = trainer(name, [clip_batch(g, g + 1) for g in draws[2:]])
        halted.periodic = periodic(
            halted,
            lambda run=halted, step=step: contextlib.nullcontext(stopped_at(step, run)),  # type: ignore[misc]
        )
        alone = {"data": 1.0 + 3 * rank_info.rank, "targets": 2.0, "forward": 3.0}
        halted.clock.read = lambda alone=alone: (
            8.0,
            {**alone, "backward": 9.0 - 9 * rank_info.rank},
        )  # type: ignore[misc]
        halted.engine.stage = 1 if name == "stopped" else 3
        with contextlib.closing(halted):
            halted.train()
        stop.take()
    (Path(out) / f"evaluated{rank_info.rank}.json").write_text(json.dumps(evaluated))

    batches = [clip_batch(g, g + 1, value=float("nan") if g == 14 else 1.0) for g in draws]
    rarely = Reporting(every_steps=100, watch=lambda g: {}, hardware=hardware, audit_log=False)
    start = Progress(step=0, clips_seen=0, state={})
    broken = trainer("broken", batches, progress=start, reporting=rarely)
    broken.periodic = [Periodic(4, probe)]
    with (
        contextlib.closing(broken),
        pytest.raises(NonFiniteLossError, match=r"step 1: .* knee/a@8 \(g 8\)"),
    ):
        broken.train()
    watchdog.close()
    leave()


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loop")
    assert finish(start_ranks(train, 2, (str(folder),))) == [0, 0]
    return folder


@pytest.fixture(scope="module")
def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "run" / "metrics.jsonl").read_text().splitlines()]


def test_every_micro_batch_is_given_the_learning_rate_and_the_weight_decay_of_its_step(
    out: Path,
) -> None:
    by_step = [[PLAN.lr(8 * step), PLAN.weight_decay(8 * step)] for step in range(1, 6)]
    expected = [step for step in by_step for _ in range(2)]
    assert all(len(set(values)) == 5 for values in zip(*by_step, strict=True))
    assert all(json.loads((out / f"steps{rank}.json").read_text()) == expected for rank in (0, 1))


def test_a_report_is_the_mean_over_ranks_micro_batches_and_steps(
    lines: list[dict[str, Any]],
) -> None:
    reports = {line["step"]: line for line in lines if "loss/total" in line}
    assert {step: line["loss/total"] for step, line in reports.items()} == {
        2: 11.5,
        4: 23.5,
        6: 39.5,
    }
    for step, line in reports.items():
        expected = {
            "progress/clips": 8 * step, "progress/epoch": step / 2, "data/watched": 8 * step, "optim/grad_norm": 2.0,
            "optim/lr": PLAN.lr(8 * (step - 1)), "optim/weight_decay": PLAN.weight_decay(8 * (step - 1)),
            "loss/training": 1.0, "loss/gradients": 1.0, "progress/last_step": 6,
            "time/slowest_rank": 1, "time/slowest_host": platform.node(),
        }  # fmt: skip
        assert line.items() >= expected.items()
        assert line["throughput/clips_per_second"] * line["time/step_seconds"] == pytest.approx(8)
        # 100 J of rank 0 and 200 of rank 1, for one step since the run began and for two since then
        assert line["energy/joules_per_clip"] == 300 / (8 if step == 2 else 16)


def test_the_held_out_loss_is_the_mean_over_all_clips_of_all_ranks(
    lines: list[dict[str, Any]],
) -> None:
    held_out = [line for line in lines if "held_out/total" in line]
    expected = {"held_out/clips": 7.0, "held_out/training": 0.0, "held_out/gradients": 0.0}
    for step, line in zip((3, 6), held_out, strict=True):
        del line["time"]
        assert line == {
            "step": step,
            "held_out/total": pytest.approx((0 + 3 * 2 + 10 * 2 + 31) / 7),
            **expected,
        }


def test_probe_and_collapse_are_reported_at_their_steps(lines: list[dict[str, Any]]) -> None:
    assert [line["step"] for line in lines if line.get("probe/accuracy") == 0.5] == [4, 6]
    found = [line for line in lines if "collapse/corners_std" in line]
    assert [line["step"] for line in found] == [5, 6]
    for line in found:
        assert line["collapse/corners_std"] == pytest.approx(0.5**0.5)
        assert line["collapse/corners_effective_rank"] == pytest.approx(2.0)
        assert line["collapse/corners_mean_cosine"] == pytest.approx(0.0)


def test_pictures_are_drawn_of_the_preview(out: Path) -> None:
    pictures = sorted((out / "run" / "pictures").iterdir())
    assert [path.name for path in pictures] == ["step_00000004.png", "step_00000006.png"]
    assert Image.open(pictures[0]).getpixel((150, 50)) == (255, 255, 255)


def test_what_is_saved_says_where_the_run_stands(out: Path) -> None:
    (saved,) = (out / "run" / "checkpoints").iterdir()
    assert read_progress(saved).step == 6 and read_progress(saved).clips_seen == 48
    assert read_progress(saved).state["seed"] == 3
    assert [(name, value.item()) for name, value in tensors(saved, "average")] == [("weight", 7.0)]


def test_soon_after_rank_0_finds_that_minutes_are_over_all_save_and_at_the_end(out: Path) -> None:
    *saved, last = sorted((out / "minutes" / "checkpoints").iterdir())
    assert last.name == "step_00000006"
    assert saved and saved[0].name in ("step_00000003", "step_00000004", "step_00000005")


def test_an_evaluation_is_broken_off_by_a_signal_and_its_step_is_saved(out: Path) -> None:
    assert read_progress(max((out / "stopped" / "checkpoints").iterdir())).step == 3
    why = (out / "stopped" / "REQUEUE").read_text()
    assert why == f"SIGUSR1 on rank 1 ({platform.node()}); checkpoint of step 3\n"
    lines = [
        json.loads(line) for line in (out / "stopped" / "metrics.jsonl").read_text().splitlines()
    ]
    assert [line["step"] for line in lines] == [2, 3] and all(
        "loss/total" in line for line in lines
    )
    for rank in (0, 1):
        evaluated = json.loads((out / f"evaluated{rank}.json").read_text())
        assert evaluated["done"] == 6, "batches that were followed by another, or by the end"
        assert evaluated.get("stopped", 0) < 5


@pytest.mark.parametrize(
    ("name", "ratio"), [("stopped", 9 / 7.5), ("done", 6 / 4.5)], ids=["ZeRO 1", "ZeRO 3"]
)
def test_ranks_are_compared_in_what_they_do_alone(name: str, ratio: float, out: Path) -> None:
    line = json.loads((out / name / "metrics.jsonl").read_text().splitlines()[0])
    assert line["time/slowest_rank"] == 1 and line["time/slowest_host"] == platform.node()
    assert line["time/slowest_over_median"] == pytest.approx(ratio)


def test_a_signal_that_the_last_step_overtakes_changes_nothing(out: Path) -> None:
    assert read_progress(max((out / "done" / "checkpoints").iterdir())).step == 6
    assert not (out / "done" / "REQUEUE").exists()
    lines = [json.loads(line) for line in (out / "done" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "held_out/total" in line] == [3, 6]


def test_steps_that_were_not_finite_are_not_saved(out: Path) -> None:
    assert not (out / "broken" / "checkpoints").exists()
    report = json.loads((out / "broken" / "non_finite_step_00000001.json").read_text())
    assert list(report["clips"]) == [str(g) for g in range(8, 16)], "of both ranks"
