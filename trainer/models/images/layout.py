"""Image ViTs as others write them down, by the names and shapes that timm gives them.

What timm's own filter knows (DINOv2, DINOv3, CLIP, ...) is left to it. Beside it stands what it does not know: heads
and decoders of a pretraining; queries, keys and values apart and positions without a row for the class token, as
SurgVISTA's teacher has them, EndoSSL converted; and scales of branches where timm's model has none.
"""

import contextlib
import io
import math
import re
import sys
from typing import Any

import torch
from torch import nn

from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.layouts import Split, Weights
from surgstream.trainer.models.networks import NetworkInFile

IMAGE_VIT = NetworkInFile("patch_embed.proj.weight")

# Layers after the last block. The teacher, whose features are the last block's, goes without.
AFTER_BLOCKS = ("norm", "fc_norm", "head", "head_dist", "attn_pool")
# Those that other code has there, the heads and decoders of a pretraining, and what is fixed.
_OTHERS = (
    r"fc|cls_norm|local_cls_norm|dino_head|ibot_head|projectors?|decoder|decoder_blocks"
    r"|decoder_embed|decoder_norm|decoder_pred"
)
_FIXED = r"decoder_pos_embed$|rope_embed\.periods$"
_WITHOUT_NORMS = re.compile(rf"({'|'.join(AFTER_BLOCKS)}|{_OTHERS})\.|{_FIXED}")
_WITH_NORMS = re.compile(rf"(head|head_dist|{_OTHERS})\.|{_FIXED}")
# No encoder needs it either, but timm's filter knows DINOv2 by it.
_MASK_TOKEN = re.compile(r"(\w+\.)*mask_token$")

_APART = (
    Split(".attn.qkv.weight", (".attn.q.weight", ".attn.k.weight", ".attn.v.weight")),
    Split(".attn.qkv.bias", (".attn.q.bias", ".attn.k.bias", ".attn.v.bias")),
)
_SCALE = re.compile(r"(blocks\.\d+)\.ls([12])\.gamma")
_BRANCH_ENDS = {"1": "attn.proj", "2": "mlp.fc2"}


def as_timm(weights: Weights, model: Any, *, with_norms: bool = False) -> Weights:
    """The weights of an image ViT by the names of timm's model, without what only comes after the last block.

    Args:
        weights: Weights by the names of some other code.
        model: timm's, at the image size of the weights.
        with_norms: Whether to keep norms and pooling after the last block, which only a head goes without.

    Raises:
        ModelError: Some of a tensor's pieces are missing, or timm's model has no biases and the weights do.
    """
    ignored = _WITH_NORMS if with_norms else _WITHOUT_NORMS
    weights = {name: tensor for name, tensor in weights.items() if not ignored.match(name)}
    for split in _APART:
        weights = split.join(weights)
    weights = _with_class_row(weights, model)
    _check_biases(weights, model)
    weights = _filtered(weights, model)
    # Not sooner, since the filter knows DINOv2 by it.
    weights = {name: tensor for name, tensor in weights.items() if not _MASK_TOKEN.match(name)}
    return _without_scales(weights, model)


def trained_side(weights: Weights) -> int | None:
    """Patches along a side of the images that a square ViT's positions are for; None where it has none to add.

    A few rows for class and register tokens may stand before those of the patches.
    """
    positions = weights.get("pos_embed")
    return None if positions is None or positions.ndim != 3 else math.isqrt(positions.shape[1])


def _with_class_row(weights: Weights, model: Any) -> Weights:
    """Give the class token a position of zeros, where the positions are of patches alone and the model has one more."""
    positions = weights.get("pos_embed")
    expected = getattr(model, "pos_embed", None)
    if positions is None or expected is None or "cls_token" not in weights:
        return weights
    if positions.ndim != 3 or expected.shape[1] - positions.shape[1] != 1:
        return weights
    return weights | {
        "pos_embed": torch.cat([torch.zeros_like(positions[:, :1]), positions], dim=1)
    }


def _check_biases(weights: Weights, model: nn.Module) -> None:
    """Biases that timm's filter leaves out where its model has none; most of DINOv3's models have zeros there."""
    places = dict(model.named_parameters())
    for name, tensor in weights.items():
        if (
            not name.endswith(".attn.qkv.bias")
            or name in places
            or name.replace("qkv.bias", "q_bias") in places
        ):
            continue
        third = tensor.shape[0] // 3 if tensor.ndim else 0
        if third and (
            tensor[:third].any() or tensor[-third:].any()
        ):  # that of the keys, between them, is masked
            raise ModelError(
                f"expected {name} to be zero, as this model of timm has none; the one with _qkvb "
                "has them"
            )


def _filtered(weights: Weights, model: nn.Module) -> Weights:
    """Convert weights by timm's filter for such a model.

    It would resize patches and positions to those of the model. Positions are of the model's size already, patches of
    another size do not reach it, and what it cannot read stays as it is, for others to say what is wrong with it.
    """
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    patches = model.get_parameter(IMAGE_VIT.anchor)
    if convert is None or patches.shape != weights[IMAGE_VIT.anchor].shape:
        return weights
    try:
        with contextlib.redirect_stdout(
            io.StringIO()
        ):  # it prints what it leaves out, layer by layer
            filtered: Weights = convert(dict(weights), model)
    except Exception:  # it trusts names and shapes
        return weights
    return filtered


def _without_scales(weights: Weights, model: nn.Module) -> Weights:
    """Multiply the scale of each branch into the layer that ends it, where timm's model has no scales."""
    places = dict(model.named_parameters())
    merged = dict(weights)
    for name, scale in weights.items():
        found = _SCALE.fullmatch(name)
        if found is None or name in places:
            continue

        last = f"{found[1]}.{_BRANCH_ENDS[found[2]]}"
        matrix = merged.get(f"{last}.weight")
        bias = merged.get(f"{last}.bias")
        if matrix is None or bias is None or matrix.ndim != 2:
            continue
        if scale.shape == bias.shape == matrix.shape[:1]:
            del merged[name]
            merged |= {f"{last}.weight": scale[:, None] * matrix, f"{last}.bias": scale * bias}
    return merged
