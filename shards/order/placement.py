"""Placement: the rank of each draw of a step. It is no part of the order: ranks come and go."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from surgstream.configs.errors import ConfigError
from surgstream.shards.keyed_random import Int64
from surgstream.shards.order.draws import Draws
from surgstream.shards.order.lanes import SEATS
from surgstream.shards.order.revisions import MicroBatches


@dataclass(frozen=True, eq=False)
class Placement:
    """The rank and the micro-batch of each draw of a step.

    Attributes:
        members: Index into the step's draws, (world_size, num_micro_batches, micro_batch_size): the clips of every
            micro-batch of every rank, in order.
    """

    members: Int64

    @cached_property
    def rank(self) -> Int64:
        """The rank of each draw, (num_draws,)."""
        world_size = len(self.members)
        rank = np.empty(self.members.size, np.int64)
        # (world_size, num_draws / world_size): each row's draws get the number of the row.
        rows = self.members.reshape(world_size, -1)
        rank[rows] = np.arange(world_size)[:, None]
        return rank


@dataclass(frozen=True, kw_only=True)
class RankShare:
    """The share of one rank in every step of G draws.

    Attributes:
        rank: The rank.
        world_size: All ranks.
        micro_batch_size: Clips in a micro-batch, m.
        global_batch_size: Draws of a step over all ranks, G.
        micro_batches: How a step is dealt to micro-batches; see `place`.

    Raises:
        ConfigError: G is not a positive multiple of micro_batch_size x world_size.
    """

    rank: int
    world_size: int
    micro_batch_size: int
    global_batch_size: int
    micro_batches: MicroBatches = "by_chunk"

    def __post_init__(self) -> None:
        check_batch(self.global_batch_size, self.micro_batch_size, self.world_size)

    def assign(self, draws: Draws) -> Int64:
        """This rank's draws of a step, as indices into it, (num_micro_batches, micro_batch_size)."""
        placement = place(
            draws,
            micro_batch_size=self.micro_batch_size,
            world_size=self.world_size,
            micro_batches=self.micro_batches,
        )
        ours: Int64 = placement.members[self.rank]
        return ours


def place(
    draws: Draws,
    *,
    micro_batch_size: int,
    world_size: int,
    micro_batches: MicroBatches = "by_chunk",
) -> Placement:
    """Deal the draws of one step to the micro-batches of all ranks.

    The draws are sorted by seat, which a lane keeps from step to step, so the same ranks find the same lanes again and
    few of them read the same chunk. What a micro-batch holds depends on its size, not on the number of ranks.

    Args:
        draws: The G draws of a step.
        micro_batch_size: Clips in a micro-batch, m.
        world_size: Ranks.
        micro_batches: `by_chunk`: draws of one lane sit together, so one rank reads their chunk. `mixed`: they sit
            apart, so that they meet in different micro-batches, and more ranks read the chunk. Where no lane has two
            draws in a step both are the same.

    Returns:
        The members of each micro-batch.

    Raises:
        ConfigError: G is not a multiple of micro_batch_size x world_size.
    """
    check_batch(draws.number.size, micro_batch_size, world_size)
    seat = draws.seat
    if micro_batches == "mixed":
        seat = (seat + _apart(draws)) % SEATS
    by_seat = np.lexsort((draws.dataset, seat))  # the last key, seat, goes first
    return Placement(by_seat.reshape(world_size, -1, micro_batch_size))


def check_batch(global_batch_size: int, micro_batch_size: int, world_size: int) -> None:
    """Check that a global batch can be dealt.

    Raises:
        ConfigError: It is not a positive multiple of micro_batch_size x world_size; names what is.
    """
    least = micro_batch_size * world_size
    if min(global_batch_size, micro_batch_size, world_size) < 1 or global_batch_size % least:
        raise ConfigError(
            "global_batch_size: expected a multiple of micro_batch_size x world_size = "
            f"{micro_batch_size} x {world_size} = {least}, got {global_batch_size}; "
            f"use {_what_fits(global_batch_size, micro_batch_size, world_size)}"
        )


def _what_fits(global_batch_size: int, micro_batch_size: int, world_size: int) -> str:
    """The numbers of ranks for this micro-batch, and the largest micro-batch within it for this number of ranks."""
    if min(global_batch_size, micro_batch_size, world_size) < 1:
        return "numbers of at least 1"

    ways = []
    if global_batch_size % micro_batch_size == 0:
        world_sizes = _divisors(global_batch_size // micro_batch_size)
        ways.append(f"{_listed(world_sizes)} ranks")
    if global_batch_size % world_size == 0:
        sizes = _divisors(global_batch_size // world_size)
        largest = max(size for size in sizes if size <= micro_batch_size)
        ways.append(f"micro_batch_size {largest}")
    if not ways:
        world_sizes = _divisors(global_batch_size)
        return f"{_listed(world_sizes)} ranks, and a micro-batch that fits them"
    return " or ".join(ways)


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def _apart(draws: Draws) -> Int64:
    """Distance from each draw's seat to that of its lane, (num_draws,).

    The draws of a lane sit 0, 1/2, 1/4, 3/4, 1/8, ... of all seats away (van der Corput's sequence): spread evenly
    however many they are, and one more or less does not move the others.
    """
    # One number for each lane of each dataset; lanes count from -1 on.
    lane = draws.dataset * (draws.lane.max() + 2) + draws.lane
    by_lane = np.argsort(lane, kind="stable")
    _, starts, counts = np.unique(lane[by_lane], return_index=True, return_counts=True)

    # The number of each draw among those of its lane: 0, 1, ...
    turn = np.empty_like(lane)
    first_of_lane = np.repeat(starts, counts)
    turn[by_lane] = np.arange(lane.size) - first_of_lane

    # The bits of the turn, mirrored: bit 0 is worth half of all seats, bit 1 a quarter.
    apart = np.zeros(lane.size, np.int64)
    for bit in range(int(turn.max()).bit_length()):
        apart += ((turn >> bit) & 1) * (SEATS >> bit + 1)
    return apart
