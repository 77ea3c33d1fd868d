"""Encoders that this project trained: checkpoints of runs, and exports."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.trainer.encoders.config import FrozenConfig
from surgstream.trainer.encoders.source import VideoSource
from surgstream.trainer.engine.checkpoint_files import chosen_checkpoint, read_state
from surgstream.trainer.engine.stored_tensors import stored_tensors
from surgstream.trainer.errors import CheckpointError, ModelError
from surgstream.trainer.export.folder.forms import ENCODER
from surgstream.trainer.export.folder.reading import read_folder
from surgstream.trainer.models.config import EncoderConfig
from surgstream.trainer.models.layouts import Weights
from surgstream.trainer.runs.files import CHECKPOINTS

_FINE_TUNED_NORM = "fc_norm."


def read_checkpoint(place: Path, config: FrozenConfig) -> VideoSource:
    """Read the encoder of a run's checkpoint, and the rate of its clips, from the recipe in its state.

    One that was fine-tuned may be read as well; its norm comes after its pooling, as in others' fine-tuned files.

    Args:
        place: A checkpoint's directory, or a run's: of one that chose its weights those, else the newest whole one.
        config: Whether to take the moving average, where there is one.

    Raises:
        CheckpointError: It is not whole, has no recipe, or no run has saved one.
        ModelError: The settings are about files of others.
    """
    checkpoint = chosen_checkpoint(place)
    _refuse_settings(config, checkpoint, "a checkpoint of ours")

    try:
        recipe = read_state(checkpoint)["config"]
        objective = recipe["objective"]["encoder"]
        numbers = build(EncoderConfig, objective, where=f"{checkpoint}: its encoder")
        fps, stride = _rate(recipe)
    except (LookupError, TypeError, AttributeError, ConfigError) as error:
        raise CheckpointError(
            f"{checkpoint}: expected the recipe it was trained with, got: {error}"
        ) from None

    weights = _weights_of(checkpoint, "param", ENCODER)
    if config.averaged:
        # An average takes the place of what it is of.
        weights |= _weights_of(checkpoint, "average", ENCODER)

    # A model that was fine-tuned has its last norm after the pooling, and no other.
    norm = _weights_of(checkpoint, "param", _FINE_TUNED_NORM)
    weights |= {f"norm.{name}": tensor for name, tensor in norm.items()}

    run_dir = checkpoint.absolute().parent
    if run_dir.name == CHECKPOINTS:
        run_dir = run_dir.parent
    return VideoSource(
        name=f"{run_dir.name} {checkpoint.name}",
        numbers=numbers,
        weights=weights,
        fps=fps,
        stride=stride,
        pools_first=bool(norm),
    )


def read_export(folder: Path, config: FrozenConfig) -> VideoSource:
    """Read the encoder of a folder that `surgstream export` wrote, in any layout.

    Raises:
        ModelError: It is not such a folder, or the settings are about files of others.
    """
    _refuse_settings(config, folder, "an export of ours")
    record, weights = read_folder(folder)
    return VideoSource(
        name=folder.absolute().name,
        numbers=record.encoder,
        weights=weights,
        fps=record.fps,
        stride=record.stride,
        mean=record.mean,
        std=record.std,
    )


def _weights_of(checkpoint: Path, kind: str, prefix: str) -> Weights:
    """The tensors of a kind whose names begin with a prefix, by what follows it."""
    return {
        stored.name.removeprefix(prefix): stored.whole()
        for stored in stored_tensors(checkpoint, (kind,))
        if stored.name.startswith(prefix)
    }


def _rate(recipe: Mapping[str, Any]) -> tuple[float | None, int | None]:
    """Frames a second and stride of a recipe's clips; None for what it does not say."""
    data = recipe["data"]
    stride = data["stride"]
    if recipe.get("task") is not None:
        # A task's own stride, unless the recipe has another, which may also be by the length of the video.
        stride = recipe["clips"]["stride"]

    fps = data["fps"]
    return (
        float(fps) if isinstance(fps, int | float) else None,
        stride if isinstance(stride, int) else None,
    )


def _refuse_settings(config: FrozenConfig, place: Path, what: str) -> None:
    """Refuse what could only be said of a file that tells less of itself."""
    if config.layout not in ("auto", "surgstream"):
        raise ModelError(
            f"encoder.layout: expected auto, as {place} is {what}, got {config.layout}"
        )
    for name in ("model", "prefix", "shape"):
        value = getattr(config, name)
        if value is not None:
            raise ModelError(
                f"encoder.{name}: expected null, as {place} is {what} and tells its own, got "
                f"{value!r}"
            )
