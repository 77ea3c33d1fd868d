from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.shards.order.sequence import (
    DatasetSize,
    Order,
    OrderConfig,
    RankShare,
    check_batch,
    place,
)

SIZES = (DatasetSize("big", "s", 700), DatasetSize("mid", "s", 90), DatasetSize("small", "t", 23))
CONFIG = OrderConfig(open_chunks=8, chunk_frames=20)
DEALS = st.tuples(
    st.integers(1, 5), st.integers(1, 6), st.integers(1, 4), st.sampled_from(["by_chunk", "mixed"])
)


@given(DEALS, st.integers(0, 10**6))
@settings(max_examples=50, derandomize=True, deadline=None)
def test_every_rank_gets_its_share_and_every_draw_one_rank(
    dealing: tuple[int, int, int, Literal["by_chunk", "mixed"]], start: int
) -> None:
    micro_batch, world, accumulation, micro_batches = dealing
    draws = Order.create(SIZES, 3, CONFIG).draws(start, micro_batch * world * accumulation)
    placement = place(
        draws, micro_batch_size=micro_batch, world_size=world, micro_batches=micro_batches
    )
    assert placement.members.shape == (world, accumulation, micro_batch)
    assert sorted(placement.members.ravel().tolist()) == list(range(draws.number.size))
    for rank in range(world):
        assert sorted(np.flatnonzero(placement.rank == rank).tolist()) == sorted(
            placement.members[rank].ravel().tolist()
        )


@pytest.mark.parametrize("micro_batches", ["by_chunk", "mixed"])
def test_micro_batches_do_not_depend_on_the_world_size(micro_batches: str) -> None:
    draws = Order.create(SIZES, 3, CONFIG).draws(960, 48)
    alone = place(
        draws, micro_batch_size=4, world_size=1, micro_batches=micro_batches
    ).members.reshape(-1, 4)
    for world in (2, 3, 12):
        members = place(
            draws, micro_batch_size=4, world_size=world, micro_batches=micro_batches
        ).members
        assert np.array_equal(members.reshape(-1, 4), alone)


def test_draws_on_one_seat_go_by_dataset_then_by_draw() -> None:
    draws = Order.create(SIZES, 3, CONFIG).draws(0, 6)
    crowded = replace(
        draws, dataset=np.array([2, 0, 1, 0, 2, 1]), seat=np.array([7, 7, 7, 7, 7, 3])
    )
    members = place(crowded, micro_batch_size=6, world_size=1).members
    assert members.ravel().tolist() == [5, 1, 3, 2, 0, 4]


def test_few_ranks_read_a_chunk() -> None:
    sizes = [DatasetSize("a", "s", 200_000), DatasetSize("b", "t", 60_000)]
    order, batch, world = (
        Order.create(sizes, 1, OrderConfig(open_chunks=512, chunk_frames=100)),
        512,
        16,
    )
    seen = {"seat": set(), "g": set()}
    for step in range(60):
        draws = order.draws(step * batch, batch)
        chunks = list(zip(draws.dataset.tolist(), draws.chunk_first.tolist(), strict=True))
        ranks = {
            "seat": place(draws, micro_batch_size=8, world_size=world).rank,
            "g": draws.number % batch // 32,
        }
        for by, rank in ranks.items():
            seen[by].update(zip(chunks, rank.tolist(), strict=True))
    readers = {by: len(pairs) / len({chunk for chunk, _ in pairs}) for by, pairs in seen.items()}
    assert readers["seat"] < 1.3
    assert readers["g"] > 3


def test_spread_parts_the_clips_of_a_lane() -> None:
    """A dataset of one lane, or fewer lanes than clips, give a step many clips of one chunk."""
    sizes = [DatasetSize("tiny", "s", 60), DatasetSize("large", "t", 50_000)]
    draws = Order.create(sizes, 1, OrderConfig(weights="balanced", open_chunks=64)).draws(0, 64)
    together, apart = (
        place(draws, micro_batch_size=8, world_size=1, micro_batches=micro_batches).members[0]
        for micro_batches in ("by_chunk", "mixed")
    )
    tiny = draws.dataset == 0
    assert tiny[together].sum(axis=1).max() == 8
    assert tiny[apart].sum(axis=1).max() <= 5

    order = Order.create(
        [DatasetSize("a", "s", 50_000)], 1, OrderConfig(open_chunks=64, chunk_frames=100)
    )
    draws = order.draws(12_345, 256)
    for batch in place(
        draws, micro_batch_size=32, world_size=4, micro_batches="mixed"
    ).members.reshape(-1, 32):
        assert len(set(draws.chunk_first[batch].tolist())) >= 30


def test_spread_reads_no_more_where_lanes_suffice() -> None:
    order, batch = (
        Order.create(
            [DatasetSize("a", "s", 200_000)], 1, OrderConfig(open_chunks=512, chunk_frames=100)
        ),
        512,
    )
    pairs = set()
    for step in range(60):
        draws = order.draws(step * batch, batch)
        ranks = place(draws, micro_batch_size=8, world_size=16, micro_batches="mixed").rank
        pairs.update(zip(draws.chunk_first.tolist(), ranks.tolist(), strict=True))
    assert len(pairs) / len({chunk for chunk, _ in pairs}) < 1.3


@pytest.mark.parametrize(("micro_batch", "world"), [(3, 2), (8, 3), (4, 0)])
def test_a_batch_that_cannot_be_dealt_is_refused(micro_batch: int, world: int) -> None:
    draws = Order.create(SIZES, 3, CONFIG).draws(0, 8)
    with pytest.raises(
        ConfigError,
        match=rf"global_batch_size: expected a multiple .* = {micro_batch} x {world} = .*, got 8",
    ):
        place(draws, micro_batch_size=micro_batch, world_size=world)


@pytest.mark.parametrize(
    ("micro_batch", "world", "fits"),
    [
        (8, 2, "use 1, 3 ranks or micro_batch_size 6"),
        (8, 5, "use 1, 3 ranks"),
        (7, 4, "use micro_batch_size 6"),
        (7, 5, "use 1, 2, 3, 4, 6, 8, 12, 24 ranks, and a micro-batch that fits them"),
    ],
)
def test_the_refusal_lists_what_can_be_dealt(micro_batch: int, world: int, fits: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_batch(24, micro_batch, world)
    assert str(refused.value).endswith(f"got 24; {fits}")


@pytest.mark.parametrize("micro_batches", ["by_chunk", "mixed"])
def test_the_shares_of_all_ranks_are_the_placement(micro_batches: str) -> None:
    draws = Order.create(SIZES, 3, CONFIG).draws(0, 24)
    shares = [
        RankShare(
            rank=rank,
            world_size=3,
            micro_batch_size=4,
            global_batch_size=24,
            micro_batches=micro_batches,
        )
        for rank in range(3)
    ]
    found = np.stack([share.assign(draws) for share in shares])
    np.testing.assert_array_equal(
        found, place(draws, micro_batch_size=4, world_size=3, micro_batches=micro_batches).members
    )


def test_a_share_that_cannot_be_dealt_is_refused() -> None:
    with pytest.raises(ConfigError, match="global_batch_size: expected a multiple"):
        RankShare(rank=0, world_size=5, micro_batch_size=4, global_batch_size=24)
