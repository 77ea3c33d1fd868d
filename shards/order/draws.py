"""Draws of an order, as arrays."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from surgstream.shards.keyed_random import Int64


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of an order; every array has the shape (num_draws,).

    Attributes:
        number: Number of the draw.
        dataset: Index into `Order.dataset_names`.
        k: Draws of that dataset before it.
        epoch: Pass over the dataset.
        clip: Clip of the dataset.
        lane: Lane of the dataset; -1 for a leftover.
        chunk_first: First clip of the chunk to read it from.
        chunk_clips: Clips in that chunk.
        seat: The seat of the draw among those of its step; see `shards.order.placement.place`.
    """

    number: Int64
    dataset: Int64
    k: Int64
    epoch: Int64
    clip: Int64
    lane: Int64
    chunk_first: Int64
    chunk_clips: Int64
    seat: Int64

    @staticmethod
    def concatenate(pieces: Sequence["Draws"]) -> "Draws":
        """Put pieces together, one after the other."""
        columns = {}
        for name in vars(pieces[0]):
            columns[name] = np.concatenate([vars(piece)[name] for piece in pieces])
        return Draws(**columns)

    def split(self, size: int) -> Iterator["Draws"]:
        """Pieces of `size` draws each, in order; the last has what remains."""
        for start in range(0, self.number.size, size):
            piece = slice(start, start + size)
            yield Draws(**{name: column[piece] for name, column in vars(self).items()})
