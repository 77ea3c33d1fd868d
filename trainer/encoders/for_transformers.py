"""Folders of transformers' VideoMAE and V-JEPA 2: the numbers of `config.json`, and safetensors."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from surgstream.configs.files import read_text
from surgstream.trainer.batch import IMAGENET_MEAN, IMAGENET_STD
from surgstream.trainer.encoders.config import FrozenConfig
from surgstream.trainer.encoders.published import open_file, read_encoder
from surgstream.trainer.encoders.shapes import shape_of
from surgstream.trainer.encoders.source import VideoSource
from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import EncoderConfig
from surgstream.trainer.models.published import LAYOUTS, OUTER_NORM

CONFIG = "config.json"
PROCESSORS = ("preprocessor_config.json", "video_preprocessor_config.json")
LAYOUTS_OF = {"videomae": "transformers_videomae", "vjepa2": "transformers_vjepa2"}
"""The layout of each `model_type`."""

_Defaults = tuple[tuple[str, str, int], ...]
_MAE_DEFAULTS: _Defaults = (
    ("embed_dim", "hidden_size", 768),
    ("depth", "num_hidden_layers", 12),
    ("num_heads", "num_attention_heads", 12),
    ("image_size", "image_size", 224),
    ("num_frames", "num_frames", 16),
    ("patch_size", "patch_size", 16),
    ("tubelet_size", "tubelet_size", 2),
)
_JEPA_DEFAULTS: _Defaults = (
    ("embed_dim", "hidden_size", 1024),
    ("depth", "num_hidden_layers", 24),
    ("num_heads", "num_attention_heads", 16),
    ("image_size", "crop_size", 256),
    ("num_frames", "frames_per_clip", 64),
    ("patch_size", "patch_size", 16),
    ("tubelet_size", "tubelet_size", 2),
)
"""Our name, theirs, and their default of each number."""

_USUAL_EPS = {"videomae": 1e-12, "vjepa2": 1e-6}
_MAX_COUNT = 2**20
_FINE_TUNED_EPS = 1e-5  # transformers' classifier leaves PyTorch's default


def read_folder(folder: Path, tree: dict[str, Any], config: FrozenConfig) -> VideoSource:
    """Read an encoder that transformers saved.

    Args:
        folder: The folder.
        tree: The content of its `config.json`.
        config: What is asked for.

    Raises:
        ModelError: The numbers are not those of such a model, or the weights are others.
    """
    model_type = tree["model_type"]
    layout = LAYOUTS_OF[model_type]
    if config.layout not in ("auto", layout):
        raise ModelError(
            f"encoder.layout: expected auto or {layout}, as {folder} is transformers' "
            f"{model_type}, got {config.layout}"
        )
    if config.shape is not None:
        raise ModelError(
            f"encoder.shape: expected null, as {folder / CONFIG} tells it, got other numbers"
        )

    where = folder / CONFIG
    eps = _epsilon(tree, where)
    mean, std = _pixels(folder)

    file = open_file(folder, config)
    try:
        network = file.network(LAYOUTS[layout].encoder.anchor, LAYOUTS[layout].whose)
        numbers = shape_of(
            network.weights,
            LAYOUTS[layout].positions,
            anchor=LAYOUTS[layout].encoder.anchor,
            given=_numbers(tree, where),
            where=str(where),
        )
    except ModelError as error:
        raise ModelError(f"encoder: {folder}: {error}") from None

    source = read_encoder(file, config, layout, numbers)
    source = replace(source, name=folder.absolute().name, mean=mean, std=std, norm_eps=eps)

    # A fine-tuned VideoMAE has its norm beside the encoder, after the pooling.
    outer = file.networks(OUTER_NORM.anchor)
    if "norm.weight" not in source.weights and outer:
        norm = {
            name.replace("fc_norm.", "norm."): tensor
            for name, tensor in outer[0].weights.items()
            if name.startswith("fc_norm.")
        }
        source = replace(
            source,
            weights=source.weights | norm,
            pools_first=True,
            last_norm_eps=_FINE_TUNED_EPS,
        )
    return source


def _numbers(tree: dict[str, Any], where: Path) -> EncoderConfig:
    """Its numbers, of which those of its tensors are still to be compared with them."""
    is_jepa = tree["model_type"] == "vjepa2"
    activation = tree.get("hidden_act", "gelu")
    if activation != "gelu":
        raise ModelError(f"{where}: hidden_act: expected gelu, got {activation!r:.40}")

    # What transformers does not write down is its default.
    defaults = _JEPA_DEFAULTS if is_jepa else _MAE_DEFAULTS
    given: dict[str, Any] = {
        ours: _count(tree, theirs, usual, where) for ours, theirs, usual in defaults
    }
    return EncoderConfig(**given, drop_path=0.0)


def _count(tree: dict[str, Any], key: str, usual: int, where: Path) -> int:
    """A number of transformers' that counts something, and may be written down once for each side."""
    value = tree.get(key, usual)
    if isinstance(value, list) and value and value.count(value[0]) == len(value):
        value = value[0]
    if type(value) is not int or not 0 < value < _MAX_COUNT:
        raise ModelError(f"{where}: {key}: expected one positive number, got {value!r:.40}")
    return value


def _epsilon(tree: dict[str, Any], where: Path) -> float:
    value = tree.get("layer_norm_eps", _USUAL_EPS[tree["model_type"]])
    if type(value) is not float or not 0 < value < 1:
        raise ModelError(
            f"{where}: layer_norm_eps: expected a number between 0 and 1, got {value!r:.40}"
        )
    return value


def _pixels(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Means and deviations that its processor says; ImageNet's where there is none."""
    for name in PROCESSORS:
        try:
            tree = json.loads(read_text(folder / name))
            mean = tuple(float(value) for value in tree["image_mean"])
            std = tuple(float(value) for value in tree["image_std"])
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            continue
        if len(mean) == len(std) == 3 and all(0 < value < 10**3 for value in std):
            return mean, std
    return IMAGENET_MEAN, IMAGENET_STD
