"""The same weights under the names, shapes and orders of other code."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from einops import rearrange
from torch import Tensor

from trainer.errors import ModelError
from trainer.models.config import EncoderConfig

Weights = dict[str, Tensor]
Pairs = tuple[tuple[str, str], ...]

_PARTS = ("query", "key", "value")


@dataclass(frozen=True)
class Layout:
    """How other code writes a model down.

    Attributes:
        whose: What to call it in an error.
        renames: Our name and theirs of each part, with * for the number of a block; the first that matches counts.
        shapes: By our name, the axes of our tensor and of theirs, as einops writes them: channels c, frames t, rows p
            and columns q of a tubelet.
        separate: Whether queries, keys and values have a matrix each.
    """

    whose: str
    renames: Pairs
    shapes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    separate: bool = True

    def export(self, state: Mapping[str, Tensor], encoder: EncoderConfig) -> Weights:
        """Their weights, from ours or from some of ours.

        Args:
            state: Ours.
            encoder: The encoder that they belong to.

        Raises:
            ModelError: A weight has no place there.
        """
        weights: Weights = {}
        for name, tensor in state.items():
            ours, other = self.shapes.get(name, ("", ""))
            theirs, tensor = self._renamed(name, 0, 1), _rearranged(tensor, ours, other, encoder)
            if self.separate and theirs.endswith(".qkv.weight"):
                stem = theirs.removesuffix(".qkv.weight")
                weights |= {f"{stem}.{part}.weight": rows for part, rows in zip(_PARTS, tensor.chunk(3), strict=True)}
            else:
                weights[theirs] = tensor
        return {name: tensor.contiguous() for name, tensor in weights.items()}

    def load(self, weights: Mapping[str, Tensor], encoder: EncoderConfig) -> Weights:
        """Ours, from theirs: the inverse of `export`.

        Raises:
            ModelError: A weight has no place here, or a matrix of queries, keys or values lacks the other two.
        """
        state: Weights = {}
        for theirs, tensor in (_with_joint_qkv(weights) if self.separate else weights).items():
            name = self._renamed(theirs, 1, 0)
            ours, other = self.shapes.get(name, ("", ""))
            state[name] = _rearranged(tensor, other, ours, encoder).contiguous()
        return state

    def _renamed(self, name: str, before: int, after: int) -> str:
        for pair in self.renames:
            found = re.fullmatch(re.escape(pair[before]).replace(r"\*", r"(\d+)") + r"(\..*)?", name)
            if found:
                *number, leaf = found.groups("")
                return pair[after].replace("*", "".join(number)) + leaf
        raise ModelError(f"expected the weights of {self.whose}, got {name}, which has no place there")


def _renames(stacks: Pairs, blocks: Pairs, others: Pairs) -> Pairs:
    """Pairs for the parts of every block of every stack, and for what lies outside of blocks."""
    inside = (
        (f"{ours}.*.{part}", f"{theirs}.*.{their_part}") for ours, theirs in stacks for part, their_part in blocks
    )
    return (*inside, *others)


_CONV = {"encoder.embedding.projection.weight": ("d (c t p q)", "d c t p q")}
_VIDEOMAE = {
    **_CONV,
    "decoder.mask_token": ("d", "1 1 d"),
    "decoder.head.weight": ("(c t p q) d", "(t p q c) d"),
    "decoder.head.bias": ("(c t p q)", "(t p q c)"),
}

VIDEOMAE = Layout(
    whose="VideoMAE's own code",
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
    shapes=_VIDEOMAE,
    separate=False,
)

TRANSFORMERS_VIDEOMAE = Layout(
    whose="transformers' VideoMAEForPreTraining",
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
    shapes=_VIDEOMAE,
)

TRANSFORMERS_VJEPA2 = Layout(
    whose="transformers' VJEPA2Model",
    renames=_renames(
        stacks=(("encoder.blocks", "encoder.layer"), ("predictor.blocks", "predictor.layer")),
        blocks=(
            ("attention.projection", "attention.proj"),
            ("attention.q_bias", "attention.query.bias"),
            ("attention.k_bias", "attention.key.bias"),
            ("attention.v_bias", "attention.value.bias"),
            ("attention.qkv", "attention.qkv"),
            ("mlp.0", "mlp.fc1"),
            ("mlp.2", "mlp.fc2"),
            ("norm1", "norm1"),
            ("norm2", "norm2"),
        ),
        others=(
            ("encoder.embedding.projection", "encoder.embeddings.patch_embeddings.proj"),
            ("encoder.norm", "encoder.layernorm"),
            ("predictor.projection", "predictor.embeddings.predictor_embeddings"),
            ("predictor.mask_tokens", "predictor.embeddings.mask_tokens"),
            ("predictor.norm", "predictor.layernorm"),
            ("predictor.head", "predictor.proj"),
        ),
    ),
    shapes={**_CONV, "predictor.mask_tokens": ("n d", "n 1 1 d")},
)


def _rearranged(tensor: Tensor, before: str, after: str, encoder: EncoderConfig) -> Tensor:
    """Give a tensor other axes, where there are any to give."""
    if not before:
        return tensor
    sizes = {"c": 3, "t": encoder.tubelet_size, "p": encoder.patch_size, "q": encoder.patch_size}
    rearranged: Tensor = rearrange(tensor, f"{before} -> {after}", **{k: n for k, n in sizes.items() if k in before})
    return rearranged


def _with_joint_qkv(weights: Mapping[str, Tensor]) -> Weights:
    """Put the three matrices of each attention back into one."""
    joint: Weights = {}
    for name, tensor in weights.items():
        found = re.fullmatch(rf"(.*)\.({'|'.join(_PARTS)})\.weight", name)
        if not found:
            joint[name] = tensor
            continue
        names = [f"{found[1]}.{part}.weight" for part in _PARTS]
        missing = [other for other in names if other not in weights]
        if missing:
            raise ModelError(f"{name}: expected the queries', keys' and values' matrices, {missing[0]} is missing")
        joint[f"{found[1]}.qkv.weight"] = torch.cat([weights[other] for other in names])
    return joint
