"""Lanes: which clip of its dataset a draw is, such that few chunks are open at a time and each is read once an epoch.

A *chunk* is n consecutive clips of a dataset, the unit of reading. A fully shuffled epoch would touch another chunk
with every draw; reading whole chunks one by one would fill a batch with neighbouring frames. So a dataset has L
*lanes*. An epoch lays its chunks out at random in R rows of L lanes; draws go round the lanes, and each lane works
through one chunk at a time, in an order of its own. L chunks are open, L draws in a row come from L chunks, and every
chunk is read once an epoch.

If all lanes changed chunk at the same time, storage would idle and then be asked for everything. So lane l starts the
epoch l n / L clips into its first chunk, and reads the part it skipped at the end of the epoch. Row 0 is thereby open
across the boundary of two epochs, so its chunks and their lanes are the same in every epoch.

The T clips that do not fill the grid are *leftovers*: spread evenly over the epoch, they are drawn from blocks of up to
n clips, one block after the other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surgstream.shards.keyed_random import Int64, Purpose, UInt64, hash64, hash_text, permute

LEFTOVER = -1
"""The lane of draws that are leftovers."""

SEATS = 2**40
"""Lanes of all datasets share these seats."""


@dataclass(frozen=True, eq=False)
class Visits:
    """The chunk and clip that each draw reads; every array has the shape (num_draws,).

    Attributes:
        epoch: Pass over the dataset.
        lane: Lane of the dataset, or `LEFTOVER`.
        chunk_first: First clip of the chunk.
        chunk_clips: Clips in the chunk.
        clip: The clip drawn, in [chunk_first, chunk_first + chunk_clips).
        seat: The seat of the lane among all lanes of all datasets, in [0, SEATS); see `Grid.visit`.
    """

    epoch: Int64
    lane: Int64
    chunk_first: Int64
    chunk_clips: Int64
    clip: Int64
    seat: Int64


@dataclass(frozen=True, eq=False)
class LaneGrid:
    """The layout of each dataset's clips in chunks and lanes; every array has the shape (num_datasets,).

    With at most L_d lanes and a target of n0 clips a chunk, for a dataset of N clips:
    L = min(L_d, max(1, N // n0)), R = max(1, N // (L n0)), n = N // (L R) and T = N - L R n.
    So n0 <= n < 2 n0 wherever N >= n0, a smaller dataset is one chunk, and T < L R.

    Attributes:
        seed: The seed of the order.
        keys: A hash of each dataset's name.
        num_clips: N.
        lanes: L.
        rows: R, chunks of a lane in an epoch.
        chunk_clips: n.
        leftovers: T.
        strides: Per dataset, how many seats apart neighbouring lanes sit.
        single_seats: Per dataset, the seat of its leftovers, and of its lane if it has only one.
    """

    seed: int
    keys: UInt64
    num_clips: Int64
    lanes: Int64
    rows: Int64
    chunk_clips: Int64
    leftovers: Int64
    strides: Int64
    single_seats: Int64

    @staticmethod
    def lay_out(
        seed: int,
        names: Sequence[str],
        num_clips: Sequence[int],
        max_lanes: Sequence[int],
        chunk_frames: int,
    ) -> "LaneGrid":
        """Lay out datasets.

        Args:
            seed: The seed of the order.
            names: The datasets.
            num_clips: N of each, at least 1 and below 2^31.
            max_lanes: L_d of each, at least 1.
            chunk_frames: n0.

        Returns:
            The grid of each dataset.
        """
        keys = np.array([hash_text(name) for name in names], np.uint64)
        clips = np.array(num_clips, np.int64)

        # L, R and n, (num_datasets,); max(1, ...) makes a dataset of less than n0 clips one chunk.
        most_chunks = np.maximum(1, clips // chunk_frames)
        lanes = np.minimum(np.array(max_lanes, np.int64), most_chunks)
        rows = np.maximum(1, clips // (lanes * chunk_frames))
        chunk = clips // (lanes * rows)
        single_seats = hash64(seed, Purpose.SINGLE_LANE, keys) % np.uint64(SEATS)

        return LaneGrid(
            seed=seed,
            keys=keys,
            num_clips=clips,
            lanes=lanes,
            rows=rows,
            chunk_clips=chunk,
            leftovers=clips - lanes * rows * chunk,
            strides=np.array([_stride(int(count)) for count in lanes], np.int64),
            single_seats=single_seats.astype(np.int64),
        )

    def visit(self, dataset: Int64, k: Int64) -> Visits:
        """Find the chunk and clip that draw k of a dataset reads, for many draws at once.

        A lane's seat decides the rank that reads it, and hardly changes from step to step, so that few ranks read the
        same chunk. Draws that follow each other have neighbouring lanes; the golden-ratio stride between their seats
        spreads the lanes of any one step evenly over the ranks.

        Args:
            dataset: Index of each draw's dataset, (num_draws,).
            k: Draws that its dataset had before it, (num_draws,).

        Returns:
            Epoch, lane, chunk, clip and seat of each draw.
        """
        clips = self.num_clips[dataset]
        lanes = self.lanes[dataset]
        rows = self.rows[dataset]
        chunk = self.chunk_clips[dataset]
        leftovers = self.leftovers[dataset]

        # Draw i of an epoch is a leftover where i T / N passes a whole number: evenly spread.
        epoch, i = np.divmod(k, clips)
        leftovers_before = i * leftovers // clips
        is_leftover = (i + 1) * leftovers // clips > leftovers_before

        # Lane l starts l n / L clips ahead, and comes round to those it skipped at the epoch's end.
        turn, lane = np.divmod(i - leftovers_before, lanes)
        ahead = lane * chunk // lanes
        in_lane = (turn + ahead) % (rows * chunk)
        row, slot = np.divmod(in_lane, chunk)
        first = self._chunk_at(dataset, epoch, row, lane) * chunk
        size = chunk.copy()

        # The middle of one of L equal stretches of seats; fits 63 bits with up to 2^20 lanes.
        stretch = lane * self.strides[dataset] % lanes
        seat = (2 * stretch + 1) * SEATS // (2 * lanes)
        is_single = is_leftover | (lanes == 1)
        seat = np.where(is_single, self.single_seats[dataset], seat)

        block_first, block_size, block_slot = self._leftover_block(
            dataset[is_leftover], epoch[is_leftover], leftovers_before[is_leftover]
        )
        lane[is_leftover] = LEFTOVER
        first[is_leftover] = block_first
        size[is_leftover] = block_size
        slot[is_leftover] = block_slot

        key = self._key(Purpose.CLIP_IN_CHUNK, dataset, epoch, first)
        clip = first + permute(slot, size, key)
        return Visits(
            epoch=epoch, lane=lane, chunk_first=first, chunk_clips=size, clip=clip, seat=seat
        )

    def _chunk_at(self, dataset: Int64, epoch: Int64, row: Int64, lane: Int64) -> Int64:
        """The chunk at a place of an epoch's grid: row 0 is the same in every epoch, the others are shuffled."""
        lanes = self.lanes[dataset]
        cells = lanes * self.rows[dataset]
        cell = row * lanes + lane

        # Two permutations: this epoch's, of all rows but row 0, then every epoch's, of all cells.
        later = row > 0
        in_row_0 = lanes[later]
        others = cells[later] - in_row_0
        key = self._key(Purpose.CHUNK_ROWS, dataset[later], epoch[later])
        cell[later] = in_row_0 + permute(cell[later] - in_row_0, others, key)

        key_of_all = self._key(Purpose.CHUNK_ROWS, dataset)
        return permute(cell, cells, key_of_all)

    def _leftover_block(
        self, dataset: Int64, epoch: Int64, number: Int64
    ) -> tuple[Int64, Int64, Int64]:
        """First clip and size of the block that leftover `number` of an epoch lies in, and its slot there.

        Whole blocks of n come first, shuffled; the rest, which is smaller, stays last.
        """
        clips = self.num_clips[dataset]
        chunk = self.chunk_clips[dataset]
        leftovers = self.leftovers[dataset]
        block = number // chunk
        slot = number % chunk

        num_whole = leftovers // chunk
        whole = block < num_whole
        key = self._key(Purpose.LEFTOVERS, dataset[whole], epoch[whole])
        block[whole] = permute(block[whole], num_whole[whole], key)

        first = clips - leftovers + block * chunk
        return first, np.minimum(chunk, clips - first), slot

    def _key(self, purpose: Purpose, dataset: Int64, *parts: Int64) -> UInt64:
        return hash64(self.seed, purpose, self.keys[dataset], *parts)


def _stride(lanes: int) -> int:
    """The number coprime to `lanes` nearest to 0.618 of it: any run of lanes then spreads evenly over [0, lanes)."""
    target = (618 * lanes + 500) // 1000
    coprime = (n for n in range(1, lanes + 1) if math.gcd(n, lanes) == 1)
    return min(coprime, key=lambda n: abs(n - target))
