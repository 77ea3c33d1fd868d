"""Beginning with weights that were trained before: this project's own, or published ones."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from trainer.config import WarmStartConfig
from trainer.engine.checkpoint import tensors
from trainer.engine.saved import STATE, damage, read_state
from trainer.errors import CheckpointError, ModelError
from trainer.models.config import EncoderConfig
from trainer.models.files import published_weights
from trainer.models.published import LAYOUTS
from trainer.objectives.base import Objective

log = logging.getLogger(__name__)

ENCODER = "encoder."
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
    weights, averages = _read(settings, encoder)
    given = {name: tensor for name, tensor in weights.items() if _wanted(name, settings)}
    _copy(given, parameters, settings)
    left = sorted({name.split(".")[0] for name in weights.keys() - given.keys()})
    log.info(
        "begins with %d weights of %s%s", len(given), settings.weights, f", without {', '.join(left)}" if left else ""
    )
    if averages and objective.averages():
        _copy(averages, objective.averages(), settings)
    else:
        objective.average_anew()


def _wanted(name: str, settings: WarmStartConfig) -> bool:
    return settings.parts == "all" or name.startswith(ENCODER)


def _read(settings: WarmStartConfig, encoder: EncoderConfig) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
    """Weights and averages by our names."""
    path, where = Path(settings.weights), "warm_start.weights"
    if settings.layout == "surgstream":
        if not (path / STATE).exists():
            _check_positions(_exported_positions(path), encoder, settings)
            return published_weights(path, where=where)
        if found := damage(path):
            raise CheckpointError(f"{where}: {path}: not a whole checkpoint: {found}")
        _check_positions(_trained_positions(path), encoder, settings)
        return dict(tensors(path, "param")), dict(tensors(path, "average"))
    layout = LAYOUTS[settings.layout]
    _check_positions(layout.positions, encoder, settings)
    weights, averages = published_weights(path, where=where)
    only_encoder = settings.parts == "encoder"
    try:
        loaded = [layout.load(some, encoder, skip_unknown=only_encoder) for some in (weights, averages)]
    except ModelError as error:
        raise ModelError(f"warm_start: {settings.weights}: {error}") from None
    return loaded[0], loaded[1]


def _trained_positions(checkpoint: Path) -> str | None:
    try:
        positions = read_state(checkpoint)["config"]["objective"]["encoder"]["positions"]
    except (LookupError, TypeError):  # saved by an earlier version
        return None
    return str(positions)


def _exported_positions(path: Path) -> str | None:
    """What `surgstream export` wrote beside the weights; None of a bare file of weights."""
    try:
        return str(json.loads((path / "config.json").read_text(encoding="utf-8"))["encoder"]["positions"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _check_positions(trained: str | None, encoder: EncoderConfig, settings: WarmStartConfig) -> None:
    """Positions are no weights, so nothing else would notice that the encoder was trained with others."""
    if trained not in (None, encoder.positions):
        raise ModelError(
            f"warm_start: {settings.weights}: expected an encoder trained with {encoder.positions} positions, got "
            f"{trained}; set objective.encoder.positions={trained}, or choose other weights"
        )


def _copy(given: Mapping[str, Tensor], places: Mapping[str, Tensor], settings: WarmStartConfig) -> None:
    differences = [f"{name} is missing" for name in places if name not in given]
    differences += [f"{name} has no place" for name in given if name not in places]
    differences += [
        f"{name} has the shape {tuple(tensor.shape)}, not {tuple(places[name].shape)}"
        for name, tensor in given.items()
        if name in places and places[name].shape != tensor.shape
    ]
    if differences:
        more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        advice = "; warm_start.parts=encoder takes the encoder alone" if settings.parts == "all" else ""
        raise ModelError(
            f"warm_start: {settings.weights}: expected the weights of this objective, got others: "
            f"{'; '.join(differences[:_SHOWN])}{more}{advice}"
        )
    with torch.no_grad():
        for name, tensor in given.items():
            places[name].copy_(tensor)
