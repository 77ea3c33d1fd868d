"""The same weights under the names, shapes and orders of other code."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from einops import EinopsError, rearrange
from torch import Tensor

from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import EncoderConfig, Positions
from surgstream.trainer.models.networks import NetworkInFile, WeightsFile

Weights = dict[str, Tensor]
Pairs = tuple[tuple[str, str], ...]

TIMM_BLOCKS: Pairs = (
    ("attention.projection", "attn.proj"),
    ("attention", "attn"),
    ("mlp.0", "mlp.fc1"),
    ("mlp.2", "mlp.fc2"),
    ("norm1", "norm1"),
    ("norm2", "norm2"),
)
"""The parts of a block, by our names and by those of timm, which most code has taken over."""

TUBELETS = ("d (c t p q)", "d c t p q")
"""The axes of a linear embedding of tubelets, and of the Conv3d that it is."""


@dataclass(frozen=True)
class Split:
    """A tensor that one side has whole and the other in equal pieces of its first axis.

    Attributes:
        whole: The ending of its name.
        pieces: The endings of theirs, in order; None where they are numbered: `.0`, `.1`, ...
    """

    whole: str
    pieces: tuple[str, ...] | None = None

    def split(self, weights: Mapping[str, Tensor]) -> Weights:
        """Cut every such tensor into its pieces."""
        cut: Weights = {}
        for name, tensor in weights.items():
            if not name.endswith(self.whole):
                cut[name] = tensor
                continue
            stem = name.removesuffix(self.whole)
            ends = self.pieces or tuple(f"{self.whole}.{i}" for i in range(len(tensor)))
            cut |= {
                f"{stem}{end}": piece
                for end, piece in zip(ends, tensor.chunk(len(ends)), strict=True)
            }
        return cut

    def join(self, weights: Mapping[str, Tensor]) -> Weights:
        """Put the pieces of every such tensor together.

        Raises:
            ModelError: Some of a tensor's pieces are there, others are not, or they do not fit together.
        """
        joint: Weights = {}
        for name, tensor in weights.items():
            stem = self._stem(name)
            if stem is None:
                joint[name] = tensor
                continue

            ends = self.pieces or self._numbered(stem, weights)
            missing = [f"{stem}{end}" for end in ends if f"{stem}{end}" not in weights]
            if missing:
                raise ModelError(
                    f"{name}: expected the other parts of {stem}{self.whole}, {missing[0]} is "
                    "missing"
                )

            pieces = [weights[f"{stem}{end}"] for end in ends]
            shapes = {tuple(piece.shape) for piece in pieces}
            # Scalars, of shape (), have no axis to be joined along.
            if len(shapes) > 1 or () in shapes:
                raise ModelError(
                    f"{name}: expected the parts of {stem}{self.whole} to be of one shape, got "
                    f"{shapes}"
                )
            # Done again at each of the pieces, with the same result.
            joint[f"{stem}{self.whole}"] = torch.cat(pieces)

        return joint

    def _stem(self, name: str) -> str | None:
        """The part of a name before the ending of a piece; None for a name without such an ending."""
        if self.pieces is None:
            found = re.fullmatch(rf"(.*){re.escape(self.whole)}\.\d+", name)
            return found[1] if found else None
        return next((name.removesuffix(end) for end in self.pieces if name.endswith(end)), None)

    def _numbered(self, stem: str, names: Iterable[str]) -> tuple[str, ...]:
        numbered = re.compile(rf"{re.escape(stem + self.whole)}\.\d+")
        count = sum(bool(numbered.fullmatch(name)) for name in names)
        return tuple(f"{self.whole}.{i}" for i in range(count))


@dataclass(frozen=True)
class Layout:
    """The names and shapes in which other code writes a model down.

    Attributes:
        whose: Its name in errors.
        positions: The positions of its encoder.
        encoder: The place of its encoder.
        networks: The places of all of its networks.
        renames: Our name and theirs of each part, with * for the number of a block; the first that matches counts.
        shapes: The axes of our tensor and of theirs, by our name, as einops writes them: channels c, frames t, rows p
            and columns q of a tubelet.
        we_split: Tensors that we have in pieces and they whole.
        they_split: Tensors that they have in pieces and we whole.
        added: Tensors of theirs that their code adds to what another one of theirs gives, and that we add to that one:
            an embedding of all tokens to the bias of what makes them.
        ignored: Parts of theirs that say nothing we do not know, such as fixed positions, or that only other tasks
            need, such as a classifier.
    """

    whose: str
    positions: Positions
    encoder: NetworkInFile
    networks: tuple[NetworkInFile, ...]
    renames: Pairs
    shapes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    we_split: tuple[Split, ...] = ()
    they_split: tuple[Split, ...] = ()
    added: Pairs = ()
    ignored: tuple[str, ...] = ()

    def export(self, state: Mapping[str, Tensor], encoder: EncoderConfig) -> Weights:
        """Their weights, from ours or from some of ours.

        Args:
            state: Ours.
            encoder: The encoder that they belong to.

        Raises:
            ModelError: A weight has no place there.
        """
        for split in self.we_split:
            state = split.join(state)

        weights: Weights = {}
        for name, tensor in state.items():
            ours, theirs = self.shapes.get(name, ("", ""))
            weights[self._renamed(name, 0, 1)] = _rearranged(name, tensor, ours, theirs, encoder)

        for split in self.they_split:
            weights = split.split(weights)
        return {name: tensor.contiguous() for name, tensor in weights.items()}

    def read(self, file: WeightsFile, encoder: EncoderConfig, *, only_encoder: bool) -> Weights:
        """Our weights, out of a file of theirs.

        Args:
            file: Theirs.
            encoder: The encoder that they belong to.
            only_encoder: Whether to leave all other networks alone.

        Raises:
            ModelError: A network is not there, or see `load`.
        """
        weights: Weights = {}
        for part in (self.encoder,) if only_encoder else self.networks:
            weights |= part.named(file.network(part.anchor, self.whose))
        return self.load(weights, encoder)

    def read_average(self, file: WeightsFile, encoder: EncoderConfig) -> Weights:
        """The encoder's moving average by our names, out of a file of theirs; nothing where it has none.

        Raises:
            ModelError: See `load`.
        """
        average = file.average(self.encoder.anchor)
        return self.load(self.encoder.named(average), encoder) if average else {}

    def load(self, weights: Mapping[str, Tensor], encoder: EncoderConfig) -> Weights:
        """Ours, from theirs: the inverse of `export`.

        Args:
            weights: Theirs.
            encoder: The encoder that they belong to.

        Raises:
            ModelError: A weight has no place here, or only some pieces of a tensor are there.
        """
        weights = {name: tensor for name, tensor in weights.items() if not self._ignores(name)}
        for split in self.they_split:
            weights = split.join(weights)
        weights = self._with_added(weights)

        state: Weights = {}
        for name, tensor in weights.items():
            renamed = self._renamed(name, 1, 0)
            if renamed in state:
                raise ModelError(
                    f"expected one weight for {renamed}, got {name} as well as another"
                )
            ours, theirs = self.shapes.get(renamed, ("", ""))
            state[renamed] = _rearranged(name, tensor, theirs, ours, encoder)

        for split in self.we_split:
            state = split.split(state)
        return {name: tensor.contiguous() for name, tensor in state.items()}

    def _with_added(self, weights: Mapping[str, Tensor]) -> Weights:
        kept = dict(weights)
        for name, other in self.added:
            if name in kept and other in kept:
                extra = kept.pop(name)
                # In fp32, since files may have half of that, and the sum is none of their numbers.
                kept[other] = kept[other].float() + extra.float().reshape(kept[other].shape)
        return kept

    def _ignores(self, name: str) -> bool:
        return any(_matched(part, name) for part in self.ignored)

    def _renamed(self, name: str, before: int, after: int) -> str:
        for pair in self.renames:
            found = _matched(pair[before], name)
            if found:
                *number, leaf = found.groups("")
                return pair[after].replace("*", "".join(number)) + leaf
        raise ModelError(
            f"expected the weights of {self.whose}, got {name}, which has no place there"
        )


def _matched(part: str, name: str) -> "re.Match[str] | None":
    """Match a weight that belongs to a part, with the number of its block and the rest of its name."""
    pattern = re.escape(part).replace(r"\*", r"(\d+)")
    return re.fullmatch(rf"{pattern}(\..*)?", name)


def renames_of(stacks: Pairs, blocks: Pairs, others: Pairs) -> Pairs:
    """Pairs for the parts of every block of every stack, and for what lies outside of blocks."""
    inside = []
    for ours, theirs in stacks:
        inside += [(f"{ours}.*.{part}", f"{theirs}.*.{their_part}") for part, their_part in blocks]
    return (*inside, *others)


def _rearranged(
    name: str, tensor: Tensor, before: str, after: str, encoder: EncoderConfig
) -> Tensor:
    """Give a tensor other axes, where there are any to give."""
    if not before:
        return tensor
    sizes = {"c": 3, "t": encoder.tubelet_size, "p": encoder.patch_size, "q": encoder.patch_size}
    sizes = {axis: size for axis, size in sizes.items() if axis in before}
    try:
        rearranged: Tensor = rearrange(tensor, f"{before} -> {after}", **sizes)
    except EinopsError:
        raise ModelError(
            f"{name}: expected the axes {before} with {sizes}, got the shape "
            f"{tuple(tensor.shape)}; are patch_size and tubelet_size those of these weights?"
        ) from None
    return rearranged
