"""Image ViTs out of timm."""

import difflib
import importlib.metadata
import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import MAX_PIXELS, TeacherConfig
from surgstream.trainer.models.images.layout import AFTER_BLOCKS, IMAGE_VIT
from surgstream.trainer.models.layouts import Weights

# timm imports torchvision, whose PyPI wheels are built for CUDA. With a CPU-only torch their compiled operators are
# missing, and the import fails on these two, which no ViT uses: declaring them is enough.
if torch.version.cuda is None and "+" not in importlib.metadata.version("torchvision"):
    for _operator in ("nms", "qnms"):
        torch.library.define(
            f"torchvision::{_operator}",
            "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        )

import timm as timm

log = logging.getLogger(__name__)


def create_vit(config: TeacherConfig, side: int | None) -> Any:
    """A ViT of timm with random weights, without what comes after its blocks.

    Args:
        config: The model and its numbers.
        side: Patches along a side of the images that its weights are for; None is what the settings or timm say.

    Raises:
        ModelError: timm has no such model, it is not a ViT, or its images are of another size.
    """
    check_name(config.model)
    model = timm.create_model(config.model.partition(".")[0], pretrained=False, num_classes=0)
    needed = ("patch_embed", "blocks", "num_prefix_tokens", "set_input_size")
    if not all(hasattr(model, name) for name in needed):
        raise ModelError(
            f"teacher.model: expected a ViT, got {config.model!r}, which is a "
            f"{type(model).__name__}"
        )

    _set_size(model, config, side)
    # Replaced, not deleted: its forward passes still call them.
    for name in AFTER_BLOCKS:
        if getattr(model, name, None) is not None:
            setattr(model, name, nn.Identity())

    if config.norm_eps is not None:
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = config.norm_eps

    return model


def _set_size(model: Any, config: TeacherConfig, side: int | None) -> None:
    patch_size = int(model.patch_embed.patch_size[0])
    trained = side * patch_size if side else None
    image_size = config.image_size or trained
    if image_size is None:
        return

    # A file's positions could ask for any amount of memory; the setting has this bound itself.
    if image_size > MAX_PIXELS:
        raise ModelError(
            f"expected positions for images of at most {MAX_PIXELS} pixels, got {side} x {side} "
            "of them"
        )
    if trained not in (None, image_size):
        raise ModelError(
            f"teacher.image_size: expected {trained}, as these weights have {side} x {side} "
            f"positions, got {image_size}"
        )
    if image_size % patch_size:
        raise ModelError(
            f"teacher.image_size: expected a multiple of {config.model}'s patches of {patch_size} "
            f"pixels, got {image_size}"
        )

    model.set_input_size(img_size=(image_size, image_size))


def fill(model: nn.Module, weights: Weights, name: str) -> None:
    """Copy weights into a model.

    Args:
        model: Changed in place.
        weights: Weights by the model's names.
        name: The model's name in messages.

    Raises:
        ModelError: A weight has no place there, a place no weight, or a weight another shape.
    """
    expected = model.state_dict()
    differences = {
        "missing from the file": [name for name in expected if name not in weights],
        "not of this model": [name for name in weights if name not in expected],
        "of another shape": [
            f"{name} {tuple(weights[name].shape)} instead of {tuple(tensor.shape)}"
            for name, tensor in expected.items()
            if name in weights and weights[name].shape != tensor.shape
        ],
    }

    if any(differences.values()):
        found = "; ".join(_counted(kind, names) for kind, names in differences.items() if names)
        ours = _outline(expected)
        theirs = _outline(weights)
        advice = ""
        if ours != theirs:
            advice = f"; teacher.model is {ours}, the weights are of {theirs}"
        raise ModelError(
            f"expected the {len(expected)} tensors of {name}, got others: {found}{advice}"
        )

    model.load_state_dict(weights)


def _counted(kind: str, names: Sequence[str]) -> str:
    """The number of names of a kind, and the first three of them."""
    more = ", ..." if len(names) > 3 else ""
    return f"{len(names)} {kind} ({', '.join(names[:3])}{more})"


def _outline(weights: Weights) -> str:
    """The shape of a ViT, as its weights say it."""
    patches = tuple(weights[IMAGE_VIT.anchor].shape)
    depth = len({name.split(".")[1] for name in weights if name.startswith("blocks.")})
    return f"a ViT of {depth} blocks with an embedding of patches {patches}"


def pretrained_weights(
    name: str,
    *,
    setting: str = "teacher.pretrained",
    otherwise: str = "set teacher.weights to a file",
) -> Weights:
    """The weights that timm has of a model, out of its cache or from where it gets them.

    Args:
        name: The model's name.
        setting: The setting that asks for them, for messages.
        otherwise: What else its user may do.

    Raises:
        ModelError: There is no such model, there are no weights of it, or they are out of reach.
    """
    check_name(name, "*", setting.replace("pretrained", "model"))
    known = timm.get_pretrained_cfg(name)
    if known is None or not known.has_weights:
        raise ModelError(f"{setting}: expected a model that timm has weights of, got {name}")

    try:
        model = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # no network, no room, a proxy that says no: there are many ways
        said = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"{setting}: expected the weights of {name} in timm's cache, or a network to "
            f"get them, got {type(error).__name__}: {said}; run `hf download {known.hf_hub_id}` "
            f"where there is a network, with the same HF_HOME, or {otherwise}"
        ) from None

    log.info("%s has weights of timm's, licence: %s", name, known.license or "not said")
    return dict(model.state_dict())


def known_pixels(name: str) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and deviation of pixels that timm says weights were trained with; None where it says nothing."""
    known = timm.get_pretrained_cfg(name)
    return (known.mean, known.std) if known else None


def check_name(name: str, models: str = "*vit*", setting: str = "teacher.model") -> None:
    """Check that timm has a model, and weights of the tag that the name may have.

    Args:
        name: The model's name, with or without a tag.
        models: A pattern of the names that may be meant.
        setting: The setting that it is given in, for messages.

    Raises:
        ModelError: It has none.
    """
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(models), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        what = "a ViT" if "vit" in models else "a model"
        raise ModelError(f"{setting}: expected the name of {what} in timm, got {name!r}{hint}")

    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        known = " or ".join(tags) or "but timm has none of it"
        raise ModelError(
            f"{setting}: expected weights of {architecture} that timm knows, {known}, got {tag}"
        )
