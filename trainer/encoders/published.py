"""Encoders of others: files in the layouts of their own code."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from surgstream.trainer.encoders.config import FrozenConfig
from surgstream.trainer.encoders.shapes import shape_of
from surgstream.trainer.encoders.source import VideoSource
from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import ROTARY, EncoderConfig
from surgstream.trainer.models.layouts import Weights
from surgstream.trainer.models.networks import WeightsFile, differences_between
from surgstream.trainer.models.published import LAYOUTS, OURS, read_weights
from surgstream.trainer.models.vit import Encoder

ENCODER = "encoder."
_FINE_TUNED_NORM = "fc_norm.weight"
_BIASES = ".attention.qkv.bias"


def read_file(path: Path, config: FrozenConfig) -> VideoSource:
    """Read an encoder in the layout that is asked for, its numbers off the names and shapes.

    Args:
        path: A .safetensors, .pth or .pt file, or a folder with a `model.safetensors`.
        config: The layout, and what the file does not tell.

    Raises:
        ModelError: It cannot be read, is in another layout, or does not tell enough of the encoder.
    """
    file = open_file(path, config)
    if config.layout == "surgstream":
        numbers = _needed_shape(config, path)
        weights, _ = read_weights(file, "surgstream", numbers, only_encoder=True, averaged=False)
        return VideoSource(name=path.stem, numbers=numbers, weights=without_prefix(weights))

    layout = LAYOUTS[config.layout]
    try:
        network = file.network(layout.encoder.anchor, layout.whose)
        numbers = shape_of(
            network.weights,
            layout.positions,
            anchor=layout.encoder.anchor,
            given=config.shape,
        )
    except ModelError as error:
        raise ModelError(f"encoder: {path}: {error}{_advice(file, config)}") from None

    if config.layout == "vjepa2_1" and config.num_frames == 1:
        numbers = replace(numbers, images=True)
    source = read_encoder(file, config, config.layout, numbers)
    with torch.device("meta"):
        places = Encoder(numbers).state_dict()
    if differences := list(differences_between(source.weights, places)):
        raise ModelError(
            f"encoder: {path}: expected the weights of {layout.whose}, got others: "
            f"{differences[0]}{_advice(file, config)}"
        )
    return source


def open_file(path: Path, config: FrozenConfig) -> WeightsFile:
    """The file that `weights` names, with `encoder.prefix`; a ModelError where it cannot be read."""
    return WeightsFile(path, "encoder", config.prefix, where="weights")


def read_encoder(
    file: WeightsFile, config: FrozenConfig, layout_name: str, numbers: EncoderConfig
) -> VideoSource:
    """Read the weights of an encoder whose numbers are known.

    Raises:
        ModelError: They are in another layout.
    """
    layout = LAYOUTS[layout_name]
    try:
        trained, average = read_weights(
            file, layout_name, numbers, only_encoder=True, averaged=config.averaged
        )
    except ModelError as error:
        raise ModelError(f"{error}{_advice(file, config)}") from None

    weights = without_prefix(average or trained)
    network = file.network(layout.encoder.anchor, layout.whose)
    is_fine_tuned = _FINE_TUNED_NORM in network.weights
    return VideoSource(
        name=file.path.stem,
        numbers=numbers,
        weights=_without_key_biases(weights) if is_fine_tuned else weights,
        pools_first=is_fine_tuned,
    )


def fitting_layouts(file: WeightsFile, config: FrozenConfig) -> list[str]:
    """The layouts under which a file has an encoder, each weight in its place."""
    fitting = []
    for name, layout in LAYOUTS.items():
        anchor = layout.encoder.anchor
        try:
            network = file.network(anchor, layout.whose)
            shape = network.weights[anchor].shape
            numbers = EncoderConfig(patch_size=max(1, shape[3]), tubelet_size=max(1, shape[2]))
            weights, _ = read_weights(file, name, numbers, only_encoder=True, averaged=False)
        except (ModelError, IndexError):
            continue

        weights = without_prefix(weights)
        if _FINE_TUNED_NORM in network.weights:
            weights = _without_key_biases(weights)
        needed = {"norm.weight", "blocks.0.attention.q_bias"}
        has_key_biases = "blocks.0.attention.k_bias" in weights
        if needed <= weights.keys() and has_key_biases == (layout.positions in ROTARY):
            fitting.append(name)

    if file.networks(OURS.anchor):
        fitting.append("surgstream")
    return fitting


def without_prefix(weights: Mapping[str, Tensor]) -> Weights:
    """The encoder's weights alone, by the names that they have in an `Encoder`."""
    return {
        name.removeprefix(ENCODER): tensor
        for name, tensor in weights.items()
        if name.startswith(ENCODER)
    }


def _without_key_biases(weights: Mapping[str, Tensor]) -> Weights:
    """Cut biases of queries, keys and values in three, and leave out those of keys, which a softmax does not see.

    SurgVISTA's fine-tuning has them in one, as V-JEPA has, whose rotary positions let those of keys matter.
    """
    kept: Weights = {}
    for name, tensor in weights.items():
        if not name.endswith(_BIASES) or tensor.ndim != 1:
            kept[name] = tensor
            continue
        stem = name.removesuffix("qkv.bias")
        third = len(tensor) // 3
        kept[f"{stem}q_bias"] = tensor[:third]
        kept[f"{stem}v_bias"] = tensor[2 * third :]
    return kept


def _needed_shape(config: FrozenConfig, path: Path) -> EncoderConfig:
    if config.shape is None:
        raise ModelError(
            f"encoder.shape: expected the numbers of the encoder, which {path}, a bare file of "
            "weights by our names, does not tell, got null"
        )
    return replace(config.shape, drop_path=0.0)


def _advice(file: WeightsFile, config: FrozenConfig) -> str:
    """The layouts that would do, where this one does not."""
    fitting = [name for name in fitting_layouts(file, config) if name != config.layout]
    if not fitting:
        return ""
    return f"; they would fit encoder.layout={' or '.join(fitting)}"
