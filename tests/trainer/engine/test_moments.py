"""A second phase goes on with AdamW's moments of the first, and takes the step that an uninterrupted run would take."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from surgstream.trainer.engine.checkpoint import (
    load_averages,
    load_moments,
    load_parameters,
    save_checkpoint,
)
from surgstream.trainer.engine.config import OptimConfig, ParallelConfig
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.engine.zero import ZeroEngine
from surgstream.trainer.lineage.config import WarmStartConfig
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.base import Objective
from surgstream.trainer.objectives.config import ObjectiveConfig
from surgstream.trainer.warm_start import carried_moments, warm_start
from tests.trainer.objectives.test_salt import TINY as SALT_TINY
from tests.trainer.objectives.test_surgvista import ALONE, clip_batch
from tests.trainer.objectives.test_surgvista import TINY as SURGVISTA_TINY
from tests.trainer.objectives.test_unisurg import TINY as UNISURG_TINY
from tests.trainer.objectives.test_videomae import TINY as VIDEOMAE_TINY

pytestmark = pytest.mark.usefixtures("alone")

OPTIM = OptimConfig(warmup_epochs=1)
SURGVISTA_ALONE = replace(SURGVISTA_TINY, **ALONE)


class Run:
    """A few steps of a tiny objective, of clips that the step's number decides."""

    def __init__(self, config: ObjectiveConfig, stage: int, begin_from: Path | None = None) -> None:
        """Begin anew, or with what `WarmStartConfig` takes from a checkpoint by default."""
        self.objective, self.encoder = choice.build(config, seed=1), config.encoder
        settings = WarmStartConfig(weights=str(begin_from)) if begin_from else None
        if settings:
            warm_start(settings, self.objective, config.encoder)
        self.engine = wrap(self.objective, stage)
        if moments := carried_moments(settings, OPTIM):
            load_moments(moments, self.engine)

    def resume(self, checkpoint: Path) -> "Run":
        """Go on from a checkpoint of the run itself."""
        load_parameters(checkpoint, self.objective)
        load_averages(checkpoint, self.objective.averages())
        self.engine = wrap(self.objective, self.engine.stage)
        load_moments(checkpoint, self.engine)
        return self

    def step(self, *numbers: int) -> "Run":
        """Train."""
        for number in numbers:
            clips = clip_batch(
                [2 * number, 2 * number + 1], self.encoder.image_size, self.encoder.num_frames
            )
            batch = replace(clips, step_draw=2 * number)
            self.engine.backward(self.engine(batch, self.objective.targets(batch)).loss)
            self.engine.step(1e-3)
            self.objective.after_optimizer_step()
        return self

    def save(self, root: Path, step: int) -> Path:
        """Save, as after so many steps of the run."""
        progress = Progress(step=step, clips_seen=2 * step, state={})
        return save_checkpoint(root, self.engine, progress, self.objective.averages())

    def state(self) -> dict[str, Tensor]:
        """All that is trained, with its moments and averages."""
        tensors = {
            f"{kind}/{name}": t.clone()
            for name, all_ in self.engine.full_state()
            for kind, t in all_.items()
        }
        return tensors | {
            f"average/{name}": t.clone() for name, t in self.objective.averages().items()
        }


def wrap(objective: Objective, stage: int) -> ZeroEngine:
    parallel, device = ParallelConfig(zero_stage=stage), torch.device("cpu")
    return ZeroEngine(
        objective, OPTIM, parallel, micro_batch_size=2, grad_accum_steps=1, device=device
    )


def assert_same(found: Run, expected: Run) -> None:
    state = expected.state()
    for name, tensor in found.state().items():
        assert torch.equal(tensor, state[name]), name
    assert found.engine.optimizer_step() == expected.engine.optimizer_step()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "stage"),
    [
        (VIDEOMAE_TINY, 1),
        (VIDEOMAE_TINY, 2),
        (VIDEOMAE_TINY, 3),
        (UNISURG_TINY, 1),
        *((SALT_TINY, stage) for stage in (1, 2, 3)),
        *((SURGVISTA_ALONE, stage) for stage in (1, 2, 3)),
    ],
)
def test_the_first_step_is_that_of_a_run_that_was_never_interrupted(
    config: ObjectiveConfig, stage: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # At stage 3 DeepSpeed replaces this for the whole process: have it put back for the tests that follow.
    monkeypatch.setattr(functional, "linear", functional.linear)
    first = Run(config, stage).step(0, 1, 2)
    second = Run(config, stage, begin_from=first.save(tmp_path, 3))
    assert_same(second.step(3), first.step(3))
    assert second.engine.optimizer_step() == 4


@pytest.mark.slow
@pytest.mark.parametrize("config", [SALT_TINY, SURGVISTA_ALONE], ids=["salt", "alone"])
def test_what_averages_nothing_trains_alike_at_every_stage(
    config: ObjectiveConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen teacher is outside of what stage 3 takes apart."""
    monkeypatch.setattr(functional, "linear", functional.linear)
    assert not config.has_average
    expected = Run(config, 1).step(0, 1, 2).state()
    for stage in (2, 3):
        for name, tensor in Run(config, stage).step(0, 1, 2).state().items():
            # AdamW's first steps have the sign of a gradient alone, which may be near 0
            error = (tensor - expected[name]).norm() / expected[name].norm()
            assert error < 1e-3, name


@pytest.mark.slow
def test_a_second_phase_that_is_resumed_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    """Its own steps are fewer than those of its moments, which the correction of their bias goes by."""
    first = Run(VIDEOMAE_TINY, 1).step(0, 1, 2).save(tmp_path / "first", 3)
    calm = Run(VIDEOMAE_TINY, 1, begin_from=first).step(3, 4)
    saved = Run(VIDEOMAE_TINY, 1, begin_from=first).step(3).save(tmp_path / "second", 1)
    assert_same(Run(VIDEOMAE_TINY, 1).resume(saved).step(4), calm)


@pytest.mark.parametrize(
    "settings",
    [
        {"moments": False},
        {"parts": "encoder"},
        {"layout": "videomae"},
        {"weights": "published.pth"},
    ],
)
def test_all_else_begins_without_moments_and_is_to_begin_low(
    settings: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved = Run(VIDEOMAE_TINY, 1).save(tmp_path, 0)
    words = WarmStartConfig(**({"weights": str(saved)} | settings))
    with caplog.at_level(logging.WARNING):
        assert carried_moments(words, OPTIM) is None and not caplog.text
        assert carried_moments(words, replace(OPTIM, warmup_epochs=0)) is None
        assert (
            "without moments and at its peak learning rate" in caplog.text
            and "optim.warmup_epochs" in caplog.text
        )
        caplog.clear()
        assert carried_moments(None, replace(OPTIM, warmup_epochs=0)) is None and not caplog.text
