"""Which recipes are compared, and the length of the run that an equal number of operations buys each."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from surgstream.configs.changes import given
from surgstream.configs.presets import presets
from surgstream.trainer.config import TrainConfig, load_recipe
from surgstream.trainer.model_sizes import count_sizes

ENCODER = {
    "embed_dim": 128,
    "depth": 4,
    "num_heads": 4,
    "image_size": 64,
    "num_frames": 4,
    "patch_size": 8,
}
"""The numbers of every encoder, whatever its recipe has."""


TEACHER_SHARE = 1 / 3
"""Of the operations, those that train the teacher of a recipe that has one: SALT's 80,000 of 240,000 steps."""

_RUN = re.compile(r"runs/(\w+)(?:/checkpoints/step_\d+)?")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The length of a run.

    Attributes:
        flops_per_clip: Operations of training on one clip, as `surgstream describe` counts them.
        steps: Steps of the run.
        clips: Clips of the run, drawn once or more often.
        words: What makes a recipe's schedule end there.
    """

    flops_per_clip: int
    steps: int
    clips: int
    words: tuple[str, ...]

    @property
    def flops(self) -> int:
        """Operations of the run."""
        return self.flops_per_clip * self.clips


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A run of another recipe that a recipe learns from.

    Attributes:
        recipe: The other recipe.
        key: The key that names the run's checkpoint.
    """

    recipe: str
    key: str


def tiny_recipes() -> dict[str, Path]:
    """The recipes that are compared, by name: all tiny ones but those that only go on with another one's run."""
    tiny = {name: path for name, path in presets("pretrain").items() if "tiny" in name}
    return {name: path for name, path in tiny.items() if load_recipe(path).warm_start is None}


def teacher_of(config: TrainConfig) -> Teacher | None:
    """The teacher that has to be trained before, such as SALT's: a key whose value is the run of another recipe."""
    for key, value in given(config.objective, "objective."):
        found = _RUN.fullmatch(value) if isinstance(value, str) else None
        if found:
            return Teacher(recipe=found[1], key=key)
    return None


def same_encoder(path: Path) -> tuple[str, ...]:
    """What gives a recipe the encoder that all have, and its video teacher, if it has one, as well."""
    teacher = getattr(load_recipe(path).objective, "teacher", None)
    places = ["objective.encoder"]
    if hasattr(teacher, "encoder"):
        places.append("objective.teacher.encoder")
    # Together, since a student and its teacher have to fit
    return tuple(f"{place}.{name}={number}" for place in places for name, number in ENCODER.items())


def schedule(config: TrainConfig, budget: float) -> Schedule:
    """The whole steps that come nearest to a number of operations.

    The recipe's epochs stay and their length changes, so that warm-up and decay are the same shares of the run, as are
    the growth of a weight and the reach of a moving average.

    Args:
        config: A recipe, with the encoder that it is trained with.
        budget: Operations of the run.

    Raises:
        ValueError: The budget is less than half a step.
    """
    sizes = count_sizes(config.objective)
    if sizes is None:
        raise ModuleNotFoundError(name="torch")
    flops_per_clip = sum(sizes.flops.values())

    batch = config.global_batch_size
    steps = round(budget / (flops_per_clip * batch))
    if steps < 1:
        raise ValueError(
            f"budget: expected at least one step of {config.objective.name}, {flops_per_clip * batch / 1e12:.3g} "
            f"TFLOP, got {budget / 1e12:.3g}"
        )

    # Rounded down: as many steps, the last of which the decay may end a few clips before
    clips_per_epoch = int(steps * batch / config.epochs)
    words = [f"clips_per_epoch={clips_per_epoch}", "max_steps=null"]
    if config.clips_per_epoch:
        words += _as_much_longer(config, clips_per_epoch / config.clips_per_epoch)
    return Schedule(
        flops_per_clip=flops_per_clip, steps=steps, clips=steps * batch, words=tuple(words)
    )


def _as_much_longer(config: TrainConfig, times: float) -> Iterator[str]:
    """What a recipe counts in clips or steps, not in epochs, for a run that is so many times as long."""
    ema_decay = getattr(config.objective, "ema_decay", None)
    if ema_decay is not None:
        # As little of the initial weights is left at the end
        yield f"objective.ema_decay={ema_decay ** (1 / times):.7f}"

    context = getattr(config.objective, "context", None)
    if context:
        for name in ("from_clips", "full_at_clips"):
            yield f"objective.context.{name}={round(times * getattr(context, name))}"
