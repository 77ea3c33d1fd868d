"""Whole image models out of timm, of any architecture: their features and their own pooling."""

import copy
import sys
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from surgstream.trainer.batch import IMAGENET_MEAN, IMAGENET_STD
from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import MAX_PIXELS
from surgstream.trainer.models.images.layout import IMAGE_VIT, as_timm, trained_side
from surgstream.trainer.models.images.timm_vit import (
    check_name,
    known_pixels,
    pretrained_weights,
    timm,
)
from surgstream.trainer.models.layouts import Weights
from surgstream.trainer.models.networks import NetworkInFile, WeightsFile, differences_between

# Where ConvNeXts of other code begin, whose names timm's filter knows.
_CONVNEXT = NetworkInFile("downsample_layers.0.0.weight")
_SHOWN = 4


@dataclass(frozen=True, eq=False)
class ImageModel:
    """A model of timm without its classifier.

    Attributes:
        model: timm's, which has `forward_features` and `forward_head`.
        name: Its name in timm, without the tag of its weights.
        image_size: Height and width of its images in pixels.
        mean: Per channel, what is subtracted from pixels in [0, 1].
        std: Per channel, what they are then divided by.
    """

    model: Any
    name: str
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def create_image_model(
    name: str,
    *,
    setting: str,
    seed: int,
    image_size: int | None = None,
    file: WeightsFile | None = None,
    pretrained: bool = False,
) -> ImageModel:
    """Make an image model.

    Images are as timm says that its weights were trained: the size that is theirs, means and deviations. Of a file
    whose model is named without a tag, they are ImageNet's.

    Args:
        name: Its name in timm, with or without the tag of its weights.
        setting: The setting that names it, for messages.
        seed: Decides random weights.
        image_size: Another size of images; the positions of ViTs are resampled.
        file: Its weights; None for timm's own, or random ones.
        pretrained: Take timm's own weights, from its cache or the network.

    Raises:
        ModelError: timm has no such model or no weights of it, they do not fit, or it takes no images of this size.
    """
    check_name(name, "*", setting)
    weights = None
    if pretrained:
        otherwise = "set weights to a file, with encoder.layout=timm and encoder.model"
        weights = pretrained_weights(name, setting=setting, otherwise=otherwise)

    # timm initialises from the global generator: seed it for that alone, and put it back.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = timm.create_model(name, pretrained=False, num_classes=0)

    size = int(model.pretrained_cfg["input_size"][-1])
    if file is not None:
        found = _network(file, model)
        size = _fit_positions(model, found, size)
        weights = _renamed(found, model)
    if weights is not None:
        _fill(model, weights, name)

    wanted = image_size or size
    if wanted != size:
        _resize(model, wanted, name)
    has_own = file is None or "." in name
    mean, std = (has_own and known_pixels(name)) or (IMAGENET_MEAN, IMAGENET_STD)
    return ImageModel(model.eval(), name.partition(".")[0], wanted, tuple(mean), tuple(std))


def image_flops(model: nn.Module, image_size: int) -> int:
    """Floating point operations of a forward pass of one image, counted on shapes alone."""
    shapes = copy.deepcopy(model).to("meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        shapes(torch.empty(1, 3, image_size, image_size, device="meta"))
    return int(counted.get_total_flops())


def _network(file: WeightsFile, model: Any) -> Weights:
    """The network of a file that is such a model, by the names that it has there."""
    first = next(name for name in model.state_dict() if name.endswith(".weight"))
    anchors = (IMAGE_VIT.anchor, first, _CONVNEXT.anchor)
    anchor = next((anchor for anchor in anchors if file.networks(anchor)), first)
    return file.network(anchor, f"timm's {type(model).__name__}", averaged=True).weights


def _fit_positions(model: Any, weights: Weights, size: int) -> int:
    """Give a ViT the size of images that its weights' positions are for, and return it."""
    side = trained_side(weights)
    if side is None or not hasattr(model, "set_input_size") or not hasattr(model, "patch_embed"):
        return size
    trained = side * int(model.patch_embed.patch_size[0])
    # A file's positions could ask for any amount of memory.
    if not 0 < trained <= MAX_PIXELS:
        raise ModelError(
            f"expected positions for images of at most {MAX_PIXELS} pixels, got {side} x {side} "
            "of them"
        )
    if trained != size:
        _resize(model, trained, type(model).__name__)
    return trained


def _resize(model: Any, image_size: int, name: str) -> None:
    """Have a model take images of another size; those that take any are left as they are."""
    if not hasattr(model, "set_input_size"):
        return
    try:
        model.set_input_size(img_size=(image_size, image_size))
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"encoder.image_size: expected a size that {name} takes, got {image_size}: {reason}"
        ) from None


def _renamed(weights: Weights, model: Any) -> Weights:
    """Weights by timm's names, without those of its classifier."""
    classifiers = model.pretrained_cfg.get("classifier") or ()
    if isinstance(classifiers, str):
        classifiers = (classifiers,)
    starts = tuple(f"{classifier}." for classifier in classifiers)

    if IMAGE_VIT.anchor in weights and hasattr(model, "blocks"):
        weights = as_timm(weights, model, with_norms=True)
    else:
        convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
        try:
            weights = convert(dict(weights), model) if convert else weights
        except Exception as error:  # it trusts names and shapes
            raise ModelError(
                f"expected the weights of timm's {type(model).__name__}, got others "
                f"({type(error).__name__})"
            ) from None
    return {name: tensor for name, tensor in weights.items() if not name.startswith(starts)}


def _fill(model: nn.Module, weights: Weights, name: str) -> None:
    if differences := list(differences_between(weights, model.state_dict())):
        shown = "; ".join(differences[:_SHOWN])
        more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        raise ModelError(f"expected the weights of {name}, got others: {shown}{more}")
    model.load_state_dict(weights)
