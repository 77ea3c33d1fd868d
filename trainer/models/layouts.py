"""The same weights under the names, shapes and orders of other code: VideoMAE's own and that of `transformers`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from trainer.errors import ModelError
from trainer.models.config import EncoderConfig

Weights = dict[str, Tensor]

_PARTS = ("query", "key", "value")


@dataclass(frozen=True)
class VideoMaeLayout:
    """How other code writes a VideoMAE down.

    All of it keeps the embedding as a Conv3d, the mask token as (1, 1, D), and the pixels of a prediction as
    (T, H, W, C), where ours are (C, T, H, W).

    Attributes:
        renames: Our name and theirs of each part, with * for the number of a block; the first that matches counts.
        separate: Whether queries, keys and values have a matrix each.
    """

    renames: tuple[tuple[str, str], ...]
    separate: bool

    def export(self, state: Mapping[str, Tensor], encoder: EncoderConfig) -> Weights:
        """Their weights.

        Args:
            state: Ours, of `VideoMae` or of its encoder alone (`encoder.` before each name).
            encoder: What they belong to.
        """
        weights: Weights = {}
        for name, tensor in state.items():
            theirs = self._renamed(name, 0, 1)
            if name == "encoder.embedding.projection.weight":
                tensor = _as_conv(tensor, encoder)
            elif name == "decoder.mask_token":
                tensor = tensor[None, None]
            elif name.startswith("decoder.head."):
                tensor = _reorder(tensor, encoder, "(c t p q)", "(t p q c)")
            if self.separate and theirs.endswith("qkv.weight"):
                stem = theirs.removesuffix("qkv.weight")
                weights |= {f"{stem}{part}.weight": rows for part, rows in zip(_PARTS, tensor.chunk(3), strict=True)}
            else:
                weights[theirs] = tensor
        return {name: tensor.contiguous() for name, tensor in weights.items()}

    def load(self, weights: Mapping[str, Tensor], encoder: EncoderConfig) -> Weights:
        """Ours, from theirs: the inverse of `export`.

        Raises:
            ModelError: A matrix of queries, keys or values lacks the other two.
        """
        merged = _with_joint_qkv(weights) if self.separate else dict(weights)
        state: Weights = {}
        for theirs, tensor in merged.items():
            name = self._renamed(theirs, 1, 0)
            if name == "encoder.embedding.projection.weight":
                tensor = tensor.flatten(1)
            elif name == "decoder.mask_token":
                tensor = tensor[0, 0]
            elif name.startswith("decoder.head."):
                tensor = _reorder(tensor, encoder, "(t p q c)", "(c t p q)")
            state[name] = tensor.contiguous()
        return state

    def _renamed(self, name: str, before: int, after: int) -> str:
        for pair in self.renames:
            found = re.fullmatch(re.escape(pair[before]).replace(r"\*", r"(\d+)") + r"(\..*)?", name)
            if found:
                *number, leaf = found.groups("")
                return pair[after].replace("*", "".join(number)) + leaf
        raise ModelError(f"expected the weights of a VideoMAE, got {name}, which has no place in one")


def _renames(
    stacks: tuple[tuple[str, str], ...], blocks: tuple[tuple[str, str], ...], others: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    """Pairs for the parts of every block of every stack, and for what lies outside of blocks."""
    inside = (
        (f"{ours}.*.{part}", f"{theirs}.*.{their_part}") for ours, theirs in stacks for part, their_part in blocks
    )
    return (*inside, *others)


VIDEOMAE = VideoMaeLayout(
    renames=_renames(
        stacks=(("encoder.blocks", "encoder.blocks"), ("decoder.blocks", "decoder.blocks")),
        blocks=(
            ("attention.projection", "attn.proj"),
            ("attention", "attn"),
            ("mlp.0", "mlp.fc1"),
            ("mlp.2", "mlp.fc2"),
            ("norm1", "norm1"),
            ("norm2", "norm2"),
        ),
        others=(
            ("encoder.embedding.projection", "encoder.patch_embed.proj"),
            ("encoder.norm", "encoder.norm"),
            ("decoder.projection", "encoder_to_decoder"),
            ("decoder.mask_token", "mask_token"),
            ("decoder.norm", "decoder.norm"),
            ("decoder.head", "decoder.head"),
        ),
    ),
    separate=False,
)
"""Checkpoints of VideoMAE's own code (`.pth`), and of those that began with it."""

TRANSFORMERS = VideoMaeLayout(
    renames=_renames(
        stacks=(("encoder.blocks", "videomae.encoder.layer"), ("decoder.blocks", "decoder.decoder_layers")),
        blocks=(
            ("attention.projection", "attention.output.dense"),
            ("attention.q_bias", "attention.attention.query.bias"),
            ("attention.v_bias", "attention.attention.value.bias"),
            ("attention.qkv", "attention.attention.qkv"),
            ("mlp.0", "intermediate.dense"),
            ("mlp.2", "output.dense"),
            ("norm1", "layernorm_before"),
            ("norm2", "layernorm_after"),
        ),
        others=(
            ("encoder.embedding.projection", "videomae.embeddings.patch_embeddings.projection"),
            ("encoder.norm", "videomae.layernorm"),
            ("decoder.projection", "encoder_to_decoder"),
            ("decoder.mask_token", "mask_token"),
            ("decoder.norm", "decoder.norm"),
            ("decoder.head", "decoder.head"),
        ),
    ),
    separate=True,
)
"""`VideoMAEForPreTraining` of `transformers`."""


def _as_conv(weight: Tensor, encoder: EncoderConfig) -> Tensor:
    return rearrange(
        weight, "d (c t p q) -> d c t p q", c=3, t=encoder.tubelet_size, p=encoder.patch_size, q=encoder.patch_size
    )


def _reorder(rows: Tensor, encoder: EncoderConfig, before: str, after: str) -> Tensor:
    """Give the first axis, the pixels of a tubelet, another order."""
    sizes = {"c": 3, "t": encoder.tubelet_size, "p": encoder.patch_size, "q": encoder.patch_size}
    reordered: Tensor = rearrange(rows, f"{before} ... -> {after} ...", **sizes)
    return reordered


def _with_joint_qkv(weights: Mapping[str, Tensor]) -> Weights:
    """Put the three matrices of each attention back into one."""
    joint: Weights = {}
    for name, tensor in weights.items():
        found = re.fullmatch(rf"(.*)\.({'|'.join(_PARTS)})\.weight", name)
        if not found:
            joint[name] = tensor
            continue
        stem = found[1]
        names = [f"{stem}.{which}.weight" for which in _PARTS]
        missing = [other for other in names if other not in weights]
        if missing:
            raise ModelError(f"{name}: expected the queries', keys' and values' matrices, {missing[0]} is missing")
        joint[f"{stem}.qkv.weight"] = torch.cat([weights[other] for other in names])
    return joint
