"""Beginning with weights that were trained before: this project's own, or published ones."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from surgstream.configs.files import read_text
from surgstream.trainer.config import WarmStartConfig
from surgstream.trainer.engine.checkpoint import tensors
from surgstream.trainer.engine.checkpoint_files import STATE, damage, read_state
from surgstream.trainer.engine.config import OptimConfig
from surgstream.trainer.errors import CheckpointError, ModelError
from surgstream.trainer.models.config import EncoderConfig
from surgstream.trainer.models.networks import WeightsFile
from surgstream.trainer.models.published import LAYOUTS
from surgstream.trainer.objectives.base import Objective
from surgstream.trainer.runs.files import CHECKPOINTS, checkpoints_in

log = logging.getLogger(__name__)

Named = Mapping[str, Tensor]

ENCODER = "encoder."
_OURS = "encoder.embedding.projection.weight"
_SHOWN = 4


def warm_start(settings: WarmStartConfig, objective: Objective, encoder: EncoderConfig) -> None:
    """Copy weights into an objective on the CPU, and its averages' where they are there; else these begin anew.

    Args:
        settings: Which weights.
        objective: Changed in place.
        encoder: Its encoder.

    Raises:
        ModelError: A weight is missing, has no place, or is of another shape; or the file cannot be read.
        CheckpointError: Our own checkpoint is damaged.
    """
    parameters = {name: p for name, p in objective.named_parameters() if _wanted(name, settings)}
    weights, averages = _read(settings, encoder, averaged=bool(objective.averages()))
    given = {name: tensor for name, tensor in weights.items() if _wanted(name, settings)}
    _copy(given, parameters, settings)

    left = sorted({name.split(".")[0] for name in weights.keys() - given.keys()})
    log.info(
        "begins with %d weights of %s%s",
        len(given),
        settings.weights,
        f", without {', '.join(left)}" if left else "",
    )

    if averages:
        _copy(averages, objective.averages(), settings)
    else:
        objective.reset_average()


def carried_moments(settings: WarmStartConfig | None, optim: OptimConfig) -> Path | None:
    """The checkpoint whose AdamW moments a new run goes on with; None where it begins with none.

    They are taken whole or not at all: AdamW has one step count for all parameters, and new ones beside old ones would
    take first steps of several times the learning rate.

    Args:
        settings: Which weights the run begins with, if any.
        optim: Its optimizer; one that begins with trained weights, but neither with moments nor low, is warned of.
    """
    if settings is None:
        return None

    checkpoint = Path(settings.weights)
    whole = (
        settings.layout == "surgstream"
        and settings.parts == "all"
        and (checkpoint / STATE).exists()
    )
    if whole and settings.moments:
        log.info("goes on with the moments of %s", checkpoint)
        return checkpoint

    if optim.warmup_epochs == 0:
        log.warning(
            "AdamW begins without moments and at its peak learning rate, which throws trained weights off; set "
            "optim.warmup_epochs"
        )
    return None


def _wanted(name: str, settings: WarmStartConfig) -> bool:
    return settings.parts == "all" or name.startswith(ENCODER)


def _read(
    settings: WarmStartConfig, encoder: EncoderConfig, *, averaged: bool
) -> tuple[Named, Named]:
    """Weights by our names and, where they are wanted and there, averages."""
    path = Path(settings.weights)
    if settings.layout != "surgstream":
        return _published(settings, encoder, averaged=averaged)

    # No checkpoint, so what `surgstream export` wrote, or a bare file of our weights.
    if not (path / STATE).exists():
        _refuse_run(path)
        _check_positions(_exported_positions(path), encoder, settings)
        file = _file(settings)
        with _named(settings):
            return file.network(_OURS, "an encoder of ours").weights, {}

    if found := damage(path):
        raise CheckpointError(f"warm_start.weights: {path}: not a whole checkpoint: {found}")
    if settings.prefix is not None:
        raise ModelError(
            f"warm_start.prefix: expected none, as {path} is a checkpoint of ours, got {settings.prefix!r}"
        )

    _check_positions(_trained_positions(path), encoder, settings)
    return dict(tensors(path, "param")), dict(tensors(path, "average")) if averaged else {}


def _refuse_run(path: Path) -> None:
    """Name a run's newest checkpoint: what a run begins with stays the same, so it is not looked up."""
    if checkpoints := checkpoints_in(path / CHECKPOINTS):
        raise ModelError(
            f"warm_start.weights: expected one of a run's checkpoints, got the run {path}; "
            f"its newest is {checkpoints[0]}"
        )


def _published(
    settings: WarmStartConfig, encoder: EncoderConfig, *, averaged: bool
) -> tuple[Named, Named]:
    layout, file = LAYOUTS[settings.layout], _file(settings)
    _check_positions(layout.positions, encoder, settings)
    with _named(settings):
        weights = layout.read(file, encoder, only_encoder=settings.parts == "encoder")
        return weights, layout.read_average(file, encoder) if averaged else {}


def _file(settings: WarmStartConfig) -> WeightsFile:
    return WeightsFile(Path(settings.weights), "warm_start", settings.prefix)


@contextmanager
def _named(settings: WarmStartConfig) -> Iterator[None]:
    """Say of which file it is that a network is missing, or has weights without a place."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"warm_start: {settings.weights}: {error}") from None


def _trained_positions(checkpoint: Path) -> str | None:
    try:
        positions = read_state(checkpoint)["config"]["objective"]["encoder"]["positions"]
    except (LookupError, TypeError):  # saved by an earlier version
        return None
    return str(positions)


def _exported_positions(path: Path) -> str | None:
    """What `surgstream export` wrote beside the weights; None of a bare file of weights."""
    try:
        return str(json.loads(read_text(path / "config.json"))["encoder"]["positions"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _check_positions(
    trained: str | None, encoder: EncoderConfig, settings: WarmStartConfig
) -> None:
    """Positions are no weights, so nothing else would notice that the encoder was trained with others."""
    if trained not in (None, encoder.positions):
        raise ModelError(
            f"warm_start: {settings.weights}: expected an encoder trained with {encoder.positions} positions, got "
            f"{trained}; set objective.encoder.positions={trained}, or choose other weights"
        )


def _copy(given: Named, places: Named, settings: WarmStartConfig) -> None:
    differences = [
        f"{name} has the shape {tuple(tensor.shape)}, not {tuple(places[name].shape)}"
        for name, tensor in given.items()
        if name in places and places[name].shape != tensor.shape
    ]
    differences += [f"{name} is missing" for name in places if name not in given]
    differences += [f"{name} has no place" for name in given if name not in places]

    if differences:
        more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        whole = settings.parts == "all" and not any(
            difference.startswith(ENCODER) for difference in differences
        )
        advice = "; warm_start.parts=encoder takes the encoder alone, which fits" if whole else ""
        raise ModelError(
            f"warm_start: {settings.weights}: expected the weights of this objective, got others: "
            f"{'; '.join(differences[:_SHOWN])}{more}{advice}"
        )

    with torch.no_grad():
        for name, tensor in given.items():
            places[name].copy_(tensor)
