"""Training runs of the tiny recipe, started as a user starts them."""

import contextlib
import io
import json
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from surgstream.launch.__main__ import main
from tests.end_to_end.conftest import Corpora
from tests.helpers.ranks import finish, kill, start, wait_for

RECIPE = "configs/pretrain/surgvista_tiny.yaml"
SMALL_RUN = (
    "global_batch_size=16",
    "optim.base_lr=8e-3",
    "optim.clip_grad_norm=1.0",
    "micro_batch_size=8",
    "epochs=10",
    "clips_per_epoch=128",
    "max_steps=20",
    "objective.encoder.embed_dim=48",
    "objective.encoder.depth=2",
    "objective.encoder.image_size=32",
    "objective.encoder.num_frames=4",
    "data.order.open_chunks=16",
    "data.order.chunk_frames=12",
    "data.audit_log=true",
    "held_out=null",
    "metrics.every_steps=1",
    "metrics.pictures_every_steps=0",
    "metrics.collapse_every_steps=0",
    "checkpoint.every_steps=4",
    "checkpoint.keep_last=3",
    "probe=null",
)
SMALLER = (
    *SMALL_RUN,
    "objective.encoder.drop_path=0.2",
    "objective.reconstruction_decoder.embed_dim=48",
    "objective.distillation_decoder.embed_dim=48",
)
_SMALL_PREDICTOR = (
    "objective.predictor.embed_dim=32",
    "objective.predictor.depth=1",
    "objective.predictor.num_heads=2",
)
_TWO_HEADS = "objective.encoder.num_heads=2"
OTHERS = {
    "configs/pretrain/surgrec_mae_tiny.yaml": ("objective.decoder.embed_dim=48",),
    "configs/pretrain/surgrec_jepa_tiny.yaml": (_TWO_HEADS, *_SMALL_PREDICTOR),
    "configs/pretrain/unisurg_tiny_stage1.yaml": (_TWO_HEADS, *_SMALL_PREDICTOR),
    "configs/pretrain/vjepa21_tiny.yaml": (
        _TWO_HEADS,
        *_SMALL_PREDICTOR,
        "objective.encoder.levels=[1, 2]",
        "objective.context.from_clips=48",
        "objective.context.full_at_clips=144",
        "optim.spike_guard={deviations: 1000, window: 4}",
    ),
    "configs/pretrain/surgmotion_tiny.yaml": (_TWO_HEADS, *_SMALL_PREDICTOR),
    "configs/pretrain/salt_tiny.yaml": (
        *(_TWO_HEADS, *_SMALL_PREDICTOR),
        "objective.encoder.patch_size=8",
        "objective.teacher={allow_random: true, encoder: {embed_dim: 32, depth: 2, num_heads: 2, image_size: 32, "
        "num_frames: 4, patch_size: 8, positions: sinusoid}}",
    ),
}
"""The other recipes, and what makes them small beside `SMALL_RUN`."""


def words(corpora: Corpora, run_dir: Path, *overrides: str, recipe: str = RECIPE) -> list[str]:
    """The recipe and its overrides, later ones winning."""
    smaller = SMALLER if recipe == RECIPE else (*SMALL_RUN, *OTHERS[recipe])
    given = (*smaller, f"data.corpus={corpora.train}", f"run_dir={run_dir}", *overrides)
    return [recipe, *{word.partition("=")[0]: word for word in given}.values()]


def begin(
    corpora: Corpora, run_dir: Path, world_size: int, *overrides: str, recipe: str = RECIPE
) -> list[BaseProcess]:
    """Start a run, or its next part."""
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    return start(
        ["pretrain", *words(corpora, run_dir, *overrides, recipe=recipe)],
        world_size,
        run_dir.with_suffix(".log"),
    )


def train(
    corpora: Corpora, run_dir: Path, world_size: int, *overrides: str, recipe: str = RECIPE
) -> list[dict[str, Any]]:
    """Run to the end; returns what it reported."""
    statuses = finish(begin(corpora, run_dir, world_size, *overrides, recipe=recipe))
    assert statuses == [0] * world_size, log(run_dir)
    return metrics(run_dir)


def fail(
    corpora: Corpora, run_dir: Path, world_size: int, *overrides: str, recipe: str = RECIPE
) -> str:
    """Run what must fail; returns what rank 0 printed, which must not hold a traceback."""
    statuses = finish(begin(corpora, run_dir, world_size, *overrides, recipe=recipe))
    output = log(run_dir)
    assert 0 not in statuses, output
    assert "Traceback" not in output, output
    return output


def interrupt(
    corpora: Corpora,
    run_dir: Path,
    world_size: int,
    moment: Callable[[], bool],
    *overrides: str,
    recipe: str = RECIPE,
) -> None:
    """Start a part of a run and SIGKILL all its ranks at some moment."""
    ranks = begin(corpora, run_dir, world_size, *overrides, recipe=recipe)
    wait_for(lambda: moment() or not all(rank.is_alive() for rank in ranks))
    assert all(rank.is_alive() for rank in ranks), (
        f"the run ended before it was killed: {log(run_dir)}"
    )
    assert -9 in kill(ranks)  # the others may have seen it die


def reported(run_dir: Path, step: int) -> Callable[[], bool]:
    """Whether a step has been reported."""
    return lambda: any(line["step"] >= step for line in metrics(run_dir))


def saving(run_dir: Path) -> Callable[[], bool]:
    """Whether a checkpoint is being written."""
    return lambda: any((run_dir / "checkpoints").glob(".partial-*"))


def newest(run_dir: Path) -> Path | None:
    """The newest checkpoint of a run, if it has any."""
    return max((run_dir / "checkpoints").glob("step_*"), default=None)


def log(run_dir: Path) -> str:
    """What rank 0 printed in the last part of a run."""
    return run_dir.with_suffix(".log.rank0").read_text()


def metrics(run_dir: Path) -> list[dict[str, Any]]:
    """The whole lines of a run's metrics; none when it has not reported yet."""
    path = run_dir / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def losses(lines: list[dict[str, Any]]) -> dict[int, tuple[float, float, float]]:
    """Loss, its parts and the gradient norm by step; each step must have been reported once."""
    keys = ("loss/reconstruction", "loss/distillation", "optim/grad_norm")
    rows = [(line["step"], tuple(line[key] for key in keys)) for line in lines if keys[0] in line]
    assert len(dict(rows)) == len(rows), "a step was reported twice"
    return dict(rows)  # type: ignore[arg-type]


def audit(run_dir: Path) -> list[dict[str, Any]]:
    """The committed clip log of all ranks, by draw."""
    lines = [
        line
        for path in (run_dir / "audit").glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    return sorted((json.loads(line) for line in lines), key=lambda entry: entry["g"])


def planned(
    corpora: Corpora,
    run_dir: Path,
    count: int,
    world_size: int,
    *overrides: str,
    checkpoint: Path | None = None,
) -> list[dict[str, Any]]:
    """What `surgstream order` prints of a run that goes on from a checkpoint, or of a new one."""
    spread = ["--count", str(count), "--world-size", str(world_size)]
    place = ["--checkpoint", str(checkpoint)] if checkpoint else []
    page = io.StringIO()
    with contextlib.redirect_stdout(page):
        assert main(["order", *words(corpora, run_dir, *overrides), *spread, *place]) == 0
    return [json.loads(line) for line in page.getvalue().splitlines()]


def without_rank(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A clip log that does not say who read what."""
    return [{key: value for key, value in entry.items() if key != "rank"} for entry in entries]


def close(run: dict[int, tuple[float, ...]], other: dict[int, tuple[float, ...]]) -> None:
    """Both runs took the same steps with the same losses, to 1e-5."""
    assert run.keys() == other.keys()
    for step, values in run.items():
        assert values == pytest.approx(other[step], abs=1e-5), f"step {step}"
