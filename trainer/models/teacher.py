"""The frozen image teacher: any ViT of timm, run on one frame of every slice of tokens."""

import difflib
import importlib.metadata
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from trainer.errors import ModelError
from trainer.models.config import Grid, TeacherConfig
from trainer.models.files import read_tensors
from trainer.models.flops import attention_macs, linear_macs

# timm imports torchvision, whose PyPI wheels are built for CUDA. Beside a CPU-only torch their compiled operators are
# missing, and the import fails on these two, which no ViT uses: declaring them is enough.
if torch.version.cuda is None and "+" not in importlib.metadata.version("torchvision"):
    for _operator in ("nms", "qnms"):
        torch.library.define(f"torchvision::{_operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import timm

log = logging.getLogger(__name__)

# What checkpoints wrap their weights in, and what they put before the name of every weight.
_WRAPPERS = ("model", "state_dict", "teacher", "target_encoder")
_PREFIXES = re.compile(r"^((module|backbone|encoder)\.)+")
# Layers after the last block: the teacher, whose features are the last block's, goes without. Files may hold them, or
# the projection head and mask token of a pretraining.
_AFTER_BLOCKS = ("norm", "fc_norm", "head", "head_dist", "attn_pool")
_IGNORED = re.compile(rf"({'|'.join(_AFTER_BLOCKS)}|fc)\.|mask_token$")


class Teacher(nn.Module):
    """A frozen image ViT: the patch tokens of its last block, before any final norm, for every token of a clip.

    Args:
        config: Which model.
        grid: The student's tokens. Where the teacher's patches are of another size, frames are resized so that its
            patches fall on the student's tokens one to one.
        weights: Its weights, for the image size they were trained at; timm's random ones when None.

    Raises:
        ModelError: timm has no such model, it is not a ViT, or the weights do not fit.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: TeacherConfig, grid: Grid, weights: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.grid, self.normalise = grid, config.normalise
        self.model = _create(config)
        if weights is not None:
            _fill(self.model, weights, config)
        self.patch_size = int(self.model.patch_embed.patch_size[0])
        self.image_size = (grid.rows * self.patch_size, grid.columns * self.patch_size)
        if tuple(self.model.patch_embed.img_size) != self.image_size:
            self.model.set_input_size(img_size=self.image_size)  # resamples the positions
        self.embed_dim = int(self.model.num_features)
        self.register_buffer("mean", torch.tensor(config.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, frames: Tensor) -> Tensor:
        """Features of every token.

        Args:
            frames: (B, C, S, H, W), one frame a slice, RGB in [0, 1].

        Returns:
            (B, N, D) without gradient, tokens in (T, H, W) order.
        """
        images = rearrange(frames, "b c s h w -> (b s) c h w")
        if images.shape[-2:] != self.image_size:
            images = F.interpolate(images, self.image_size, mode="bilinear", antialias=True)
        images = (images - self.mean) / self.std
        (tokens,) = self.model.forward_intermediates(
            images, indices=1, norm=False, output_fmt="NLC", intermediates_only=True
        )
        features: Tensor = rearrange(tokens, "(b s) n d -> b (s n) d", b=frames.shape[0])
        return F.layer_norm(features, (self.embed_dim,)) if self.normalise else features

    def flops(self) -> int:
        """Floating point operations of a forward pass of one clip."""
        num_patches, depth = self.grid.num_tubes, len(self.model.blocks)
        num_tokens = num_patches + self.model.num_prefix_tokens
        embedding = num_patches * 3 * self.patch_size**2 * self.embed_dim
        blocks = linear_macs(self.model.blocks, num_tokens) + attention_macs(self.embed_dim, depth, num_tokens)
        return 2 * self.grid.slices * (embedding + blocks)


def load_teacher(config: TeacherConfig, grid: Grid, seed: int) -> Teacher:
    """Build the teacher of a run, with its weights or, where that is allowed, with random ones.

    Args:
        config: Which model and weights.
        grid: The student's tokens.
        seed: Decides random weights.

    Returns:
        The teacher, on the CPU.

    Raises:
        ModelError: There are no weights and random ones are not allowed, the file cannot be read, or see `Teacher`.
    """
    if config.weights is None and not config.allow_random:
        raise ModelError(
            f"teacher {config.model}: expected a file of weights, got none; set teacher.weights to one, "
            "or teacher.allow_random to true to train against random features"
        )
    weights = _read(Path(config.weights)) if config.weights is not None else None
    if weights is None:
        log.info("teacher %s has random weights: its features mean nothing", config.model)
    # timm initialises from the global generator: seed it for that alone, and put it back.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Teacher(config, grid, weights)


def _create(config: TeacherConfig) -> Any:
    """A timm ViT at the image size of its weights, without what comes after its blocks."""
    architecture = config.model.partition(".")[0]  # what may follow names timm's own weights, which are not fetched
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models("*vit*"), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ModelError(f"teacher.model: expected the name of a ViT in timm, got {config.model!r}{hint}")
    model = timm.create_model(architecture, pretrained=False, num_classes=0)
    if not all(hasattr(model, name) for name in ("patch_embed", "blocks", "num_prefix_tokens", "set_input_size")):
        raise ModelError(f"teacher.model: expected a ViT, got {config.model!r}, which is a {type(model).__name__}")
    if config.image_size is not None:
        model.set_input_size(img_size=(config.image_size, config.image_size))
    for name in _AFTER_BLOCKS:
        if getattr(model, name, None) is not None:
            setattr(model, name, nn.Identity())
    return model


def _read(path: Path) -> dict[str, Tensor]:
    """The weights in a file, out of their wrappers, under their names in timm."""
    content = read_tensors(path, where="teacher.weights")
    while wrapped := next((content[key] for key in _WRAPPERS if isinstance(content.get(key), dict)), None):
        content = wrapped
    weights: dict[str, Tensor] = {}
    for written, tensor in content.items():
        name = _PREFIXES.sub("", str(written))
        if not isinstance(tensor, Tensor) or _IGNORED.match(name):
            continue
        if name in weights:
            raise ModelError(f"teacher.weights: expected one network in {path}, got {name} twice; save it on its own")
        weights[name] = tensor
    return weights


def _fill(model: nn.Module, weights: Mapping[str, Tensor], config: TeacherConfig) -> None:
    """Copy weights into a model, if each has its place there and each place its weight."""
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
        found = "; ".join(
            f"{len(names)} {kind} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
            for kind, names in differences.items()
            if names
        )
        raise ModelError(
            f"teacher.weights: expected the {len(expected)} tensors of {config.model}, got {config.weights}: {found}; "
            "set teacher.model (and teacher.image_size) to what these weights were trained as"
        )
    model.load_state_dict(weights)
