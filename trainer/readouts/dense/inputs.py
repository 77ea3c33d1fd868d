"""What dense heads are fed with: tokens of the last slice of time of a frozen encoder, on their grid."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
import torch.distributed as dist
from einops import rearrange
from torch import Tensor

from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import Grid

Example = tuple[Tensor, Tensor]
"""What some clips are encoded to, and what is true of them."""

_EPS = 1e-5
_MOMENTUM = 0.1


def last_slice(tokens: Tensor, grid: Grid) -> Tensor:
    """The tokens of the last slice of time, which has the frame that a clip is labelled by.

    Args:
        tokens: (B, N, D), in the order of time, row, column.
        grid: Tokens of a clip along each axis.

    Returns:
        (B, D, rows, columns).
    """
    of_slice = tokens[:, -grid.num_tubes :]
    on_grid: Tensor = rearrange(of_slice, "b (h w) d -> b d h w", h=grid.rows)
    return on_grid


def four_layers(num_layers: int) -> tuple[int, int, int, int]:
    """The numbers of the blocks at a quarter, a half, three quarters and the end of an encoder.

    Raises:
        ModelError: It has fewer than four.
    """
    if num_layers < 4:
        raise ModelError(
            f"readout: expected an encoder with four blocks or more, got {num_layers}; take dense_linear"
        )
    first, second, third, fourth = (num_layers * part // 4 - 1 for part in (1, 2, 3, 4))
    return first, second, third, fourth


class LayerInputs:
    """The tokens of some blocks as they are, micro-batch by micro-batch.

    Args:
        layers: The numbers of the blocks.
    """

    def __init__(self, layers: Sequence[int]) -> None:
        self.statistics: dict[str, Tensor] = {}
        self._layers = layers

    def encode(self, encoder: FrozenEncoder, clips: Tensor) -> Tensor:
        """Encode clips to the tokens of each block, (L, B, D, rows, columns)."""
        found = encoder.layers(clips, self._layers)
        return torch.stack([last_slice(tokens, encoder.grid) for tokens in found])

    def of_step(self, encoded: Iterable[Example]) -> Iterator[Example]:
        """Each micro-batch as it comes, so that one is in memory at a time."""
        yield from encoded

    def of_judged(self, encoded: Tensor, statistics: Mapping[str, Tensor]) -> Tensor:
        """The tokens themselves."""
        return encoded


class NormedInputs:
    """The last tokens, batch-normalised without parameters, as the layer behind it has them.

    Mean and variance of a step are those of all places of the global batch, over micro-batches and ranks, which costs
    nothing of an encoder that is frozen. So neither the micro-batch nor the number of ranks decides what is learned.
    Judged clips are normalised by moving averages.

    Args:
        width: Width of a token, D.
        device: Where they are.
    """

    def __init__(self, width: int, device: torch.device) -> None:
        self.statistics = {
            "mean": torch.zeros(width, dtype=torch.float64, device=device),
            "variance": torch.ones(width, dtype=torch.float64, device=device),
        }

    def encode(self, encoder: FrozenEncoder, clips: Tensor) -> Tensor:
        """Encode clips to tokens (1, B, D, rows, columns)."""
        return last_slice(encoder.tokens(clips), encoder.grid)[None]

    def of_step(self, encoded: Iterable[Example]) -> Iterator[Example]:
        """Each micro-batch of the step, normalised by the global batch; moves the averages."""
        examples = list(encoded)
        totals = torch.stack([_totals(tokens) for tokens, _ in examples]).sum(0)
        dist.all_reduce(totals)
        count, sums, squares = totals

        mean = sums / count
        variance = (squares / count - mean.square()).clamp(min=0.0)
        unbiased = variance * count / (count - 1).clamp(min=1.0)
        self.statistics["mean"].lerp_(mean, _MOMENTUM)
        self.statistics["variance"].lerp_(unbiased, _MOMENTUM)
        for tokens, labels in examples:
            yield _normalised(tokens, mean, variance), labels

    def of_judged(self, encoded: Tensor, statistics: Mapping[str, Tensor]) -> Tensor:
        """Tokens normalised by moving averages."""
        return _normalised(encoded, statistics["mean"], statistics["variance"])


def _totals(tokens: Tensor) -> Tensor:
    """How many places there are, and the sums of their tokens and of these squared: (3, D) float64."""
    places = tokens.double().transpose(2, -1).flatten(0, -2)
    return torch.stack([torch.ones_like(places), places, places.square()]).sum(1)


def _normalised(tokens: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    scale = (variance + _EPS).rsqrt()
    normed = (tokens.double() - mean[:, None, None]) * scale[:, None, None]
    return normed.to(torch.promote_types(tokens.dtype, torch.float32))
