"""Initialises a run with trained weights: this project's own, or published ones."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from surgstream.configs.files import read_text
from surgstream.trainer.engine.checkpoint import tensors
from surgstream.trainer.engine.checkpoint_files import STATE, damage, read_state
from surgstream.trainer.engine.config import OptimConfig
from surgstream.trainer.errors import CheckpointError, ModelError
from surgstream.trainer.lineage.config import WarmStartConfig
from surgstream.trainer.models.config import EncoderConfig
from surgstream.trainer.models.networks import WeightsFile, differences_between
from surgstream.trainer.models.published import LAYOUTS, read_weights
from surgstream.trainer.objectives.base import Objective
from surgstream.trainer.runs.files import CHECKPOINTS, checkpoints_in

log = logging.getLogger(__name__)

Named = Mapping[str, Tensor]

ENCODER = "encoder."
_MASK_TOKENS = "predictor.mask_tokens"
_LAYOUTS_OF_VJEPA2 = ("vjepa2", "transformers_vjepa2")
_SHOWN = 4


def warm_start(settings: WarmStartConfig, objective: Objective, encoder: EncoderConfig) -> None:
    """Copy weights into an objective on the CPU; its averages are copied too, or else start from these weights.

    Args:
        settings: The recipe's warm start.
        objective: Changed in place.
        encoder: The configuration of the objective's encoder.

    Raises:
        ModelError: A weight is missing, has no place, or is of another shape; or the file cannot be read.
        CheckpointError: Our own checkpoint is damaged.
    """
    parameters = {name: p for name, p in objective.named_parameters() if _wanted(name, settings)}
    found = _read(settings, encoder, averaged=bool(objective.averages()))
    weights, averages = (_with_places(each, encoder) for each in found)
    given = {
        name: tensor
        for name, tensor in weights.items()
        if _wanted(name, settings) and not name.startswith(objective.leaves_out)
    }
    given |= _first_mask_token(given, parameters, settings)
    _copy(given, parameters, settings)

    left_out = sorted({_part(name, objective) for name in weights.keys() - given.keys()})
    without = f", without {', '.join(left_out)}" if left_out else ""
    log.info("begins with %d weights of %s%s", len(given), settings.weights, without)

    if averages:
        _copy(averages, objective.averages(), settings)
    else:
        objective.reset_average()


def _with_places(weights: Named, encoder: EncoderConfig) -> Named:
    """Leave out what `vjepa` may give an encoder and this one has no place for; of videos it does the same without.

    What says that tokens are of videos is added to the bias of what makes them.
    """
    kept = {
        name: tensor
        for name, tensor in weights.items()
        if encoder.levels or not name.startswith("encoder.level_norms.")
    }
    of_videos = kept.get("encoder.embedding.modality.of_videos")
    if encoder.images or of_videos is None:
        return kept

    bias = "encoder.embedding.projection.bias"
    of_images = ("encoder.embedding.modality.", "encoder.embedding.image_projection.")
    kept[bias] = kept[bias] + of_videos
    return {name: tensor for name, tensor in kept.items() if not name.startswith(of_images)}


def carried_moments(settings: WarmStartConfig | None, optim: OptimConfig) -> Path | None:
    """Find the checkpoint whose AdamW moments a new run goes on with; None where it begins without moments.

    Moments are taken whole or not at all: AdamW has one step count for all parameters, so that parameters without
    moments, beside others that have them, would take first steps of several times the learning rate.

    Args:
        settings: The recipe's warm start, if it has one.
        optim: The recipe's optimizer; a warning is logged where trained weights meet neither moments nor a warm-up.
    """
    if settings is None:
        return None

    checkpoint = Path(settings.weights)
    is_ours = settings.layout == "surgstream" and (checkpoint / STATE).exists()
    if is_ours and settings.parts == "all" and settings.moments:
        log.info("goes on with the moments of %s", checkpoint)
        return checkpoint

    if optim.warmup_epochs == 0:
        log.warning(
            "AdamW begins without moments and at its peak learning rate, which throws trained "
            "weights off; set optim.warmup_epochs"
        )
    return None


def _first_mask_token(given: Named, parameters: Named, settings: WarmStartConfig) -> Named:
    """The first of V-JEPA 2's mask tokens, for an objective whose kinds of masks share one.

    Its code has ten, and numbers them by the lengths of its clips: a training on one length reaches the first alone.
    """
    if settings.layout not in _LAYOUTS_OF_VJEPA2 or _MASK_TOKENS not in given:
        return {}

    tokens = given[_MASK_TOKENS]
    place = parameters.get(_MASK_TOKENS)
    if place is None or len(place) > 1 or len(tokens) < 2:
        return {}

    log.info("takes the first of %d mask tokens, for all kinds of masks", len(tokens))
    return {_MASK_TOKENS: tokens[:1]}


def _part(name: str, objective: Objective) -> str:
    """The part of a model that a weight belongs to: a network, or what of one the objective has no place for."""
    has_no_place = name.startswith(objective.leaves_out)
    return name.rpartition(".")[0] if has_no_place else name.partition(".")[0]


def _wanted(name: str, settings: WarmStartConfig) -> bool:
    return settings.parts == "all" or name.startswith(ENCODER)


def _read(
    settings: WarmStartConfig, encoder: EncoderConfig, *, averaged: bool
) -> tuple[Named, Named]:
    """Read weights by our names and, where they are wanted and there, averages."""
    path = Path(settings.weights)
    if settings.layout == "surgstream" and (path / STATE).exists():
        return _checkpoint(path, settings, encoder, averaged=averaged)

    # An export, a bare file of our weights, or a published one.
    if settings.layout == "surgstream":
        _refuse_run(path)
        trained = _exported_encoder(path)
    else:
        trained = {"positions": LAYOUTS[settings.layout].positions}

    file = WeightsFile(path, "warm_start", settings.prefix)
    _check_unweighed(trained, encoder, settings)
    return read_weights(
        file,
        settings.layout,
        encoder,
        only_encoder=settings.parts == "encoder",
        averaged=averaged,
    )


def _checkpoint(
    path: Path, settings: WarmStartConfig, encoder: EncoderConfig, *, averaged: bool
) -> tuple[Named, Named]:
    if found := damage(path):
        raise CheckpointError(f"warm_start.weights: {path}: not a whole checkpoint: {found}")
    if settings.prefix is not None:
        raise ModelError(
            f"warm_start.prefix: expected none, as {path} is a checkpoint of ours, "
            f"got {settings.prefix!r}"
        )

    _check_unweighed(_trained_encoder(path), encoder, settings)
    weights = dict(tensors(path, "param"))
    averages = dict(tensors(path, "average")) if averaged else {}
    return weights, averages


def _refuse_run(path: Path) -> None:
    """Refuse a run's directory, whose newest checkpoint may change, and name that checkpoint."""
    if checkpoints := checkpoints_in(path / CHECKPOINTS):
        raise ModelError(
            f"warm_start.weights: expected one of a run's checkpoints, got the run {path}; "
            f"its newest is {checkpoints[0]}"
        )


def _trained_encoder(checkpoint: Path) -> Mapping[str, Any]:
    """The numbers of a checkpoint's encoder; none of one that an earlier version saved."""
    try:
        return dict(read_state(checkpoint)["config"]["objective"]["encoder"])
    except (LookupError, TypeError, ValueError):
        return {}


def _exported_encoder(path: Path) -> Mapping[str, Any]:
    """The numbers that `surgstream export` wrote beside the weights; none of a bare file of weights."""
    try:
        return dict(json.loads(read_text(path / "config.json"))["encoder"])
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _check_unweighed(
    trained: Mapping[str, Any], encoder: EncoderConfig, settings: WarmStartConfig
) -> None:
    """Check what no weight tells: that the encoder was trained with the recipe's positions, and its levels.

    Raises:
        ModelError: It was trained with others.
    """
    positions = trained.get("positions", encoder.positions)
    if positions != encoder.positions:
        raise ModelError(
            f"warm_start: {settings.weights}: expected an encoder trained with {encoder.positions} "
            f"positions, got {positions}; set objective.encoder.positions={positions}, "
            "or choose other weights"
        )

    levels = list(trained.get("levels", ()))
    if encoder.levels and levels not in ([], list(encoder.levels)):
        raise ModelError(
            f"warm_start: {settings.weights}: expected an encoder trained with the levels "
            f"{list(encoder.levels)}, got {levels}; set objective.encoder.levels={levels}, or choose "
            "other weights"
        )


def _copy(given: Named, places: Named, settings: WarmStartConfig) -> None:
    if differences := list(differences_between(given, places)):
        shown = "; ".join(differences[:_SHOWN])
        more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        encoder_fits = not any(difference.startswith(ENCODER) for difference in differences)
        advice = ""
        if settings.parts == "all" and encoder_fits:
            advice = "; warm_start.parts=encoder takes the encoder alone, which fits"
        raise ModelError(
            f"warm_start: {settings.weights}: expected the weights of this objective, got others: "
            f"{shown}{more}{advice}"
        )

    with torch.no_grad():
        for name, tensor in given.items():
            places[name].copy_(tensor)
