"""Where a training step makes the host wait for the device."""

import contextlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils._python_dispatch import TorchDispatchMode

from surgstream.trainer.distributed import rank_info_from_environment
from surgstream.trainer.engine.config import (
    CheckpointConfig,
    OptimConfig,
    ParallelConfig,
)
from surgstream.trainer.engine.loop import Guards, Trainer
from surgstream.trainer.engine.metrics import Reporting
from surgstream.trainer.engine.schedules import Progress, TrainingPlan
from surgstream.trainer.engine.zero import ZeroEngine
from tests.trainer.objectives.test_surgmotion import tiny as tiny_surgmotion
from tests.trainer.objectives.test_surgvista import clip_batch, tiny
from tests.trainer.objectives.test_unisurg import tiny as tiny_unisurg

STEPS = 3
BEGINNING = Progress(step=0, clips_seen=0, state={})
PLAN = TrainingPlan(
    global_batch_size=4, grad_accum_steps=2, last_step=STEPS, draws_per_epoch=64, warmup_draws=8, total_draws=64,
    start_lr=0.0, peak_lr=1e-3, end_lr=0.0, decay="cosine",
)  # fmt: skip


class Operators(TorchDispatchMode):
    """Counts what is computed, by operator."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counter[str]()

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.counts[operator.overloadpacket.__name__] += 1
        return operator(*args, **(kwargs or {}))


@contextlib.contextmanager
def trainer(
    stage: int,
    run_dir: Path,
    autocast: Literal["auto", "bf16"] = "auto",
    backend: Any = None,
    make: Callable[[], Any] = tiny,
    image_size: int = 48,
    clip_grad_norm: float = 0.0,
) -> Iterator[Trainer]:
    """A run of the tiny SurgVISTA, or of another objective, whose reports come after its last step."""
    rank_info = rank_info_from_environment({})
    objective = make().to(rank_info.device)
    if backend:
        objective.compile_parts(backend=backend, fullgraph=True)
    engine = ZeroEngine(
        objective, OptimConfig(clip_grad_norm=clip_grad_norm), ParallelConfig(zero_stage=stage, autocast=autocast),
        micro_batch_size=2, grad_accum_steps=2, device=rank_info.device,
    )  # fmt: skip
    batches = [clip_batch([g, g + 1], image_size) for g in range(0, 4 * STEPS, 2)]
    batches = [replace(batch, clips=batch.clips.to(rank_info.device)) for batch in batches]
    idle: Any = SimpleNamespace(
        before_step=lambda step: None, beat=lambda: None, stopping=lambda save: False, saving=False,
        news=lambda: None, report=lambda news, num_clips: {}, ask_all=lambda: None,
    )  # fmt: skip
    idle.close = lambda: None
    run = Trainer(
        engine, objective, iter(batches), plan=PLAN, progress=BEGINNING, rank_info=rank_info,
        run_dir=run_dir, checkpoint=CheckpointConfig(every_steps=100), periodic=(),
        reporting=Reporting(every_steps=100, watch=lambda g: {}, hardware=idle, audit_log=False),
        guards=Guards(agreement=idle, watchdog=idle, profiler=idle, check_owner=lambda: None),
    )  # fmt: skip
    with contextlib.closing(run):
        yield run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "waits"),
    [
        ({"stage": 1}, 1),
        ({"stage": 2}, 1),
        ({"stage": 3}, 1),
        ({"stage": 1, "make": tiny_unisurg, "image_size": 32}, 1),
        ({"stage": 1, "make": tiny_surgmotion, "image_size": 32}, 1),
        # DeepSpeed looks at the norm again for each parameter group, which costs little once the norm is there.
        ({"stage": 1, "clip_grad_norm": 1.0}, 3),
        ({"stage": 3, "clip_grad_norm": 1.0}, 1),
    ],
)
def test_a_step_waits_for_the_gradient_norm_and_updates_with_one_kernel(
    settings: dict[str, Any],
    waits: int,
    alone: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    linear = torch.nn.functional.linear
    monkeypatch.setattr(
        torch.nn.functional, "linear", linear
    )  # undone afterwards: stage 3 leaves its own there
    with trainer(run_dir=tmp_path, **settings) as run:
        run.train_step()
        for read in ("cpu", "numpy", "tolist"):
            monkeypatch.setattr(
                torch.Tensor, read, lambda tensor, name=read: pytest.fail(f"Tensor.{name}")
            )
        with Operators() as seen:
            run.train_step()
    assert seen.counts["_local_scalar_dense"] == waits, (
        "DeepSpeed's, which skips updates that are not finite"
    )
    assert not seen.counts["nonzero"] and not seen.counts["masked_select"]
    assert seen.counts["_fused_adamw_"] == 2, "one a parameter group"


@pytest.mark.slow
def test_nothing_is_paused_before_something_is_due(alone: None, tmp_path: Path) -> None:
    paused = list[int]()

    @contextlib.contextmanager
    def pause() -> Iterator[None]:
        paused.append(run.step)
        yield

    with trainer(1, tmp_path) as run:
        run.clock.pause = pause  # type: ignore[method-assign]
        run.train()
    assert paused == [STEPS], "for the last checkpoint"


@pytest.mark.slow
def test_all_steps_of_a_compiled_run_take_the_same_two_graphs(
    alone: None, tmp_path: Path, graphs: CompileCounterWithBackend
) -> None:
    with trainer(1, tmp_path, "bf16", graphs) as run:
        for _ in range(STEPS):
            run.train_step()
    assert graphs.frame_count == 2


@pytest.mark.gpu
def test_a_step_waits_once_on_a_gpu(alone: None, tmp_path: Path) -> None:
    with trainer(1, tmp_path) as run:
        run.train_step()
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as waits:
                warnings.simplefilter("always")
                run.train_step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert sum("synchronizing CUDA operation" in str(wait.message) for wait in waits) == 1
