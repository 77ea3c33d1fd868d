"""The frozen encoder that `weights` names: one of ours, one that others publish, an image model, or a yardstick."""

import json
from pathlib import Path
from typing import Any

from surgstream.configs.files import read_text
from surgstream.configs.suggestions import did_you_mean
from surgstream.trainer.encoders import for_transformers
from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.encoders.config import PIXELS, RANDOM, TIMM, FrozenConfig
from surgstream.trainer.encoders.images import ImageEncoder
from surgstream.trainer.encoders.ours import read_checkpoint, read_export
from surgstream.trainer.encoders.published import fitting_layouts, open_file, read_file
from surgstream.trainer.encoders.raw_pixels import PixelEncoder
from surgstream.trainer.encoders.source import VideoSource
from surgstream.trainer.encoders.video import build_video, random_source
from surgstream.trainer.engine.checkpoint_files import STATE
from surgstream.trainer.errors import ModelError
from surgstream.trainer.export.folder.record import CONFIG, TRANSFORMERS_KEY
from surgstream.trainer.models.config import EncoderConfig
from surgstream.trainer.models.images.timm_images import create_image_model
from surgstream.trainer.models.networks import WeightsFile
from surgstream.trainer.runs.files import CHECKPOINTS

_RATE_TOLERANCE = 0.1


def load_frozen(weights: str, config: FrozenConfig, seed: int) -> FrozenEncoder:
    """Read an encoder, on the CPU, in eval mode, without gradients.

    Args:
        weights: A checkpoint's or a run's directory, an export, a file or a folder of others, `timm:MODEL`, `random`
            with the numbers of `config.shape`, `random:WEIGHTS` with the architecture of any of these, or `pixels`.
        config: How it is read, and the length and size of its clips.
        seed: Decides random weights, and nothing else.

    Raises:
        ModelError: There are no such weights, they do not fit, or settings are missing or too many.
        CheckpointError: Our own checkpoint is damaged.
    """
    if weights == PIXELS:
        _refuse(config, weights, "layout", "model", "prefix", "shape")
        return PixelEncoder(config.num_frames or 16, config.image_size or 224)

    if weights == RANDOM:
        _refuse(config, weights, "layout", "model", "prefix")
        source = VideoSource(name="", numbers=config.shape or EncoderConfig(), weights={})
        return build_video(random_source(source, seed), config)

    is_random = weights.startswith(f"{RANDOM}:")
    place = weights.removeprefix(f"{RANDOM}:") if is_random else weights
    if is_random and place in (PIXELS, RANDOM):
        raise ModelError(
            f"weights: expected {RANDOM}:WEIGHTS with weights that have an architecture, got {weights}; write {place}"
        )
    if place.startswith(TIMM):
        _refuse(config, place, "layout", "model", "prefix", "shape")
        return _image(place.removeprefix(TIMM), place, config, seed, pretrained=not is_random)

    path = Path(place)
    described = _description(path)
    if config.layout == "timm" or "architecture" in described:
        return _image_of_file(path, described, config, seed, is_random=is_random)

    if config.model is not None:
        raise ModelError(
            "encoder.model: expected null where encoder.layout is not timm, got "
            f"{config.model!r} with {config.layout}"
        )
    source = _video_source(path, described, config)
    if is_random:
        source = random_source(source, seed)
    return build_video(source, config)


def check_rate(encoder: FrozenEncoder, stride_seconds: float) -> str | None:
    """Compare the time between the frames of a clip with that of the encoder's training.

    Args:
        encoder: The encoder.
        stride_seconds: From one frame of a clip to the next, as clips are cut now.

    Returns:
        A warning where they differ by more than a tenth; None where they do not, or the encoder's is not known.
    """
    if encoder.fps is None or encoder.stride is None or encoder.num_frames == 1:
        return None

    trained = encoder.stride / encoder.fps
    if abs(stride_seconds - trained) <= _RATE_TOLERANCE * trained:
        return None
    return (
        f"{encoder.name} was trained with {trained:.3g} s from one frame of a clip to the next "
        f"(every frame number {encoder.stride} at {encoder.fps:g} a second), these clips have "
        f"{stride_seconds:.3g} s; set clips.stride, or pack the corpus at another rate"
    )


def _video_source(path: Path, described: dict[str, Any], config: FrozenConfig) -> VideoSource:
    if (path / STATE).exists() or (path / CHECKPOINTS).is_dir():
        return read_checkpoint(path, config)
    if TRANSFORMERS_KEY in described or "layout" in described:
        return read_export(path, config)
    if described.get("model_type") in tuple(for_transformers.LAYOUTS_OF):
        return for_transformers.read_folder(path, described, config)

    if not path.exists():
        hint = did_you_mean(str(path), (PIXELS, RANDOM))
        raise ModelError(
            "weights: expected a checkpoint, an export, a file or folder of weights, timm:MODEL, "
            f"random or pixels, got {path}, which does not exist{hint}"
        )
    if config.layout != "auto":
        return read_file(path, config)
    raise _unknown(path, described, config)


def _unknown(path: Path, described: dict[str, Any], config: FrozenConfig) -> ModelError:
    """The error about weights that do not tell whose they are."""
    if model_type := described.get("model_type"):
        return ModelError(
            f"weights: {path}: expected transformers' {' or '.join(for_transformers.LAYOUTS_OF)}, "
            f"got its {model_type!r:.40}"
        )
    if path.is_dir() and not (path / "model.safetensors").exists():
        return ModelError(
            f"weights: expected a checkpoint, a run with one, an export or a folder with "
            f"model.safetensors, got the folder {path}, which is neither"
        )

    fitting = fitting_layouts(open_file(path, config), config)
    advice = f"its names fit {' or '.join(fitting)}" if fitting else "its names fit none of ours"
    return ModelError(
        f"encoder.layout: expected the layout of {path}, a file that does not tell it, got auto; "
        f"{advice}, and a file of an image model is timm with encoder.model"
    )


def _description(path: Path) -> dict[str, Any]:
    """The content of a folder's `config.json`; empty where there is none."""
    try:
        tree = json.loads(read_text(path / CONFIG))
    except (OSError, ValueError, RecursionError):
        return {}
    return tree if isinstance(tree, dict) else {}


def _image_of_file(
    path: Path, described: dict[str, Any], config: FrozenConfig, seed: int, *, is_random: bool
) -> ImageEncoder:
    """An image model with the weights of a file, or of a folder that timm saved, which names it."""
    if config.layout not in ("auto", "timm"):
        raise ModelError(f"encoder.layout: expected timm, as {path} is, got {config.layout}")
    if config.shape is not None:
        raise ModelError("encoder.shape: expected null, as timm knows its models, got numbers")

    model = config.model or described.get("architecture")
    if not isinstance(model, str):
        raise ModelError(
            f"encoder.model: expected the name of the timm model that {path} holds the weights of, "
            "got null"
        )
    # A tag tells its pixels.
    saved = described.get("pretrained_cfg")
    tag = saved.get("tag") if isinstance(saved, dict) else None
    if config.model is None and isinstance(tag, str) and tag:
        model = f"{model.partition('.')[0]}.{tag}"

    name = path.stem if path.is_file() else path.absolute().name
    file = None if is_random else open_file(path, config)
    return _image(model, name, config, seed, file=file)


def _image(
    model: str,
    name: str,
    config: FrozenConfig,
    seed: int,
    *,
    file: WeightsFile | None = None,
    pretrained: bool = False,
) -> ImageEncoder:
    setting = "weights" if pretrained or file is None else "encoder.model"
    try:
        image_model = create_image_model(
            model,
            setting=setting,
            seed=seed,
            image_size=config.image_size,
            file=file,
            pretrained=pretrained,
        )
    except ModelError as error:
        if file is None:
            raise
        raise ModelError(f"encoder: {file.path}: {error}") from None

    is_random = file is None and not pretrained
    name = f"random {name}" if is_random else name
    return ImageEncoder(image_model, name, config.num_frames or 1)


def _refuse(config: FrozenConfig, weights: str, *names: str) -> None:
    """Refuse settings that say nothing of such weights."""
    usual = FrozenConfig()
    for name in names:
        value = getattr(config, name)
        if value != getattr(usual, name):
            raise ModelError(
                f"encoder.{name}: expected {getattr(usual, name)} with weights {weights}, got "
                f"{value}"
            )
