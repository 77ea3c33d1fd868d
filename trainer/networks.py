"""From a recipe to its objective and its engine, and to clips of noise for steps that try or measure them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from surgstream.trainer.batch import ClipBatch, ClipName
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.encoders.choice import load_frozen
from surgstream.trainer.encoders.config import FrozenConfig
from surgstream.trainer.encoders.video import VideoEncoder
from surgstream.trainer.engine.zero import ZeroEngine
from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.videos.config import VideoTeacherConfig
from surgstream.trainer.models.videos.teacher import VideoTeacher
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.base import Objective
from surgstream.trainer.objectives.config import ObjectiveConfig, SupervisedConfig
from surgstream.trainer.runs.files import CHECKPOINTS, checkpoints_in


def build_objective(
    config: TrainConfig,
    device: torch.device,
    load_weights: Callable[[Objective], None] = lambda _: None,
) -> Objective:
    """The recipe's objective on a device, compiled where the recipe says so.

    Args:
        config: The recipe.
        device: The device that it computes on.
        load_weights: Loads the weights that training begins with, if they are not random.

    Raises:
        CheckpointError: The teacher is a checkpoint of ours, which is damaged.
        ModelError: The teacher's weights are missing or do not fit.
    """
    objective = choice.build(config.objective, seed=config.seed)
    teacher = getattr(objective, "teacher", None)
    if isinstance(teacher, VideoTeacher):
        teach(teacher)
    load_weights(objective)
    objective.to(device)
    if config.compile == "regional":
        objective.compile_blocks()
    elif config.compile:
        objective.compile_parts()
    return objective


def teach(teacher: VideoTeacher) -> None:
    """Give a video teacher the weights that its recipe names, whoever trained them; a random one stays as it is.

    Raises:
        CheckpointError: They are a checkpoint of ours, which is damaged.
        ModelError: They cannot be read, or are not of an encoder of clips of the teacher's numbers.
    """
    config = teacher.config
    if config.weights is None:
        return

    try:
        read = load_frozen(config.weights, _as_it_is_read(config, Path(config.weights)), seed=0)
        if not isinstance(read, VideoEncoder):
            raise ModelError(f"weights: expected an encoder of clips, got {config.weights}")
        teacher.take(read.encoder, read.pixels)
    except ModelError as error:
        raise ModelError(f"objective.teacher: {error}") from None


def _as_it_is_read(config: VideoTeacherConfig, path: Path) -> FrozenConfig:
    """How a teacher's weights are read.

    Raises:
        ModelError: There are none, or they are a run, whose newest checkpoint may change.
    """
    if not path.exists():
        raise ModelError(
            f"weights: expected a checkpoint, an export or a file of weights, got {path}, which does "
            "not exist"
        )
    if checkpoints := checkpoints_in(path / CHECKPOINTS):
        raise ModelError(
            f"weights: expected one of a run's checkpoints, got the run {path}; its newest is "
            f"{checkpoints[0]}"
        )

    numbers = config.encoder
    return FrozenConfig(
        layout=config.layout,
        prefix=config.prefix,
        # Ours, and those of transformers, tell their own
        shape=None if config.layout == "auto" else numbers,
        num_frames=numbers.num_frames,
        image_size=numbers.image_size,
    )


def build_engine(
    config: TrainConfig, objective: Objective, device: torch.device, *, grad_accum_steps: int
) -> ZeroEngine:
    """The recipe's engine around an objective that is on its device."""
    return ZeroEngine(
        objective,
        config.optim,
        config.parallel,
        micro_batch_size=config.micro_batch_size,
        grad_accum_steps=grad_accum_steps,
        device=device,
    )


def noise_batch(config: TrainConfig, device: torch.device, first_draw: int = 0) -> ClipBatch:
    """Make a micro-batch of noise on the device, strided as the loader's are, for steps that try or measure.

    Args:
        config: The recipe, which has the shape of clips.
        device: The device.
        first_draw: The draw number of the first clip, which also decides the noise.
    """
    encoder = config.objective.encoder
    size = config.micro_batch_size
    shape = (size, encoder.num_frames, 3, encoder.image_size, encoder.image_size)
    generator = torch.Generator(device).manual_seed(first_draw)
    return ClipBatch(
        clips=torch.randn(shape, generator=generator, device=device).transpose(1, 2),
        draws=np.arange(first_draw, first_draw + size),
        names=(ClipName("made", "noise", 0),) * size,
        valid=np.ones(size, bool),
        labels=_noise_labels(config.objective, size, device),
        step_draw=first_draw,
    )


def _noise_labels(
    objective: ObjectiveConfig, size: int, device: torch.device
) -> torch.Tensor | None:
    """Labels that an objective could learn, where it learns any."""
    if not isinstance(objective, SupervisedConfig):
        return None
    if objective.kind == "class":
        return torch.zeros(size, dtype=torch.int64, device=device)
    shape = (size,) if objective.kind == "number" else (size, objective.num_outputs or 1)
    return torch.zeros(shape, device=device)
