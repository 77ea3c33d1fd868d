import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.shards.keyed_random import Purpose, hash64, hash_text, permute
from surgstream.shards.order.lanes import LEFTOVER, SEATS, LaneGrid, Visits

SEED = 11
DATASETS = st.tuples(st.integers(1, 700), st.integers(1, 12), st.integers(1, 40))


def lay_out(num_clips: int, max_lanes: int, chunk_frames: int, name: str = "d") -> LaneGrid:
    return LaneGrid.lay_out(SEED, [name], [num_clips], [max_lanes], chunk_frames)


def visit(grid: LaneGrid, ks: Sequence[int] | np.ndarray) -> Visits:
    ks = np.asarray(ks, np.int64)
    return grid.visit(np.zeros_like(ks), ks)


def plain_visit(
    num_clips: int, max_lanes: int, n0: int, k: int, name: str = "d"
) -> tuple[int, int, int, int, int]:
    """(epoch, lane, first clip of the chunk, clips in it, clip) of draw k, straight from the design's formulas."""
    key = hash_text(name)

    def shuffled(index: int, size: int, purpose: Purpose, *parts: int) -> int:
        return permute(index, size, hash64(SEED, purpose, key, *parts)).item()

    lanes = min(max_lanes, max(1, num_clips // n0))
    rows = max(1, num_clips // (lanes * n0))
    n = num_clips // (lanes * rows)
    leftovers = num_clips - lanes * rows * n
    epoch, i = divmod(k, num_clips)
    before = i * leftovers // num_clips
    if (i + 1) * leftovers // num_clips > before:
        block, slot = divmod(before, n)
        if block < leftovers // n:
            block = shuffled(block, leftovers // n, Purpose.LEFTOVERS, epoch)
        lane, first = LEFTOVER, lanes * rows * n + block * n
        size = min(n, num_clips - first)
    else:
        i -= before
        lane = i % lanes
        row, slot = divmod((i // lanes + lane * n // lanes) % (rows * n), n)
        cell = row * lanes + lane
        if row:
            cell = lanes + shuffled(cell - lanes, lanes * (rows - 1), Purpose.CHUNK_ROWS, epoch)
        first, size = shuffled(cell, lanes * rows, Purpose.CHUNK_ROWS) * n, n
    return (
        epoch,
        lane,
        first,
        size,
        first + shuffled(slot, size, Purpose.CLIP_IN_CHUNK, epoch, first),
    )


@given(DATASETS, st.integers(0, 10**9))
@settings(max_examples=80, derandomize=True, deadline=None)
def test_a_draw_equals_the_plain_definition(dataset: tuple[int, int, int], k: int) -> None:
    visits = visit(lay_out(*dataset), [k])
    found = (visits.epoch, visits.lane, visits.chunk_first, visits.chunk_clips, visits.clip)
    assert tuple(array.item() for array in found) == plain_visit(*dataset, k)


@given(DATASETS, st.integers(0, 1000))
@settings(max_examples=80, derandomize=True, deadline=None)
def test_every_epoch_draws_every_clip_once(dataset: tuple[int, int, int], epoch: int) -> None:
    num_clips = dataset[0]
    visits = visit(lay_out(*dataset), np.arange(epoch * num_clips, (epoch + 1) * num_clips))
    assert (visits.epoch == epoch).all()
    assert np.array_equal(np.sort(visits.clip), np.arange(num_clips))
    assert (visits.chunk_first <= visits.clip).all()
    assert (visits.clip < visits.chunk_first + visits.chunk_clips).all()


@given(st.integers(1, 10**9), st.integers(1, 4096), st.integers(1, 1000))
@settings(max_examples=200, derandomize=True, deadline=None)
def test_chunks_are_at_least_the_target_and_less_than_twice_it(
    num_clips: int, max_lanes: int, n0: int
) -> None:
    grid = lay_out(num_clips, max_lanes, n0)
    lanes, rows, n, leftovers = (
        int(a[0]) for a in (grid.lanes, grid.rows, grid.chunk_clips, grid.leftovers)
    )
    assert lanes * rows * n + leftovers == num_clips
    assert 1 <= lanes <= max_lanes and 0 <= leftovers < lanes * rows
    assert n0 <= n < 2 * n0 if num_clips >= n0 else (lanes, rows, n) == (1, 1, num_clips)


def test_huge_datasets_do_not_overflow() -> None:
    num_clips = 2**31 - 1
    for dataset in ((num_clips, 2048, 320), (num_clips, 4096, 1), (num_clips, 1, 1000)):
        ks = [0, num_clips - 1, 10**6 * num_clips - 1, 10**6 * num_clips + num_clips // 3]
        visits = visit(lay_out(*dataset), ks)
        assert visits.clip.tolist() == [plain_visit(*dataset, k)[-1] for k in ks]


def test_a_chunk_is_read_once_an_epoch_across_the_boundary_too() -> None:
    """Of a lane's chunks only the first is open when the epoch ends, and the next epoch goes on with it."""
    num_clips, lanes, n0 = 4000, 8, 25
    grid = lay_out(num_clips, lanes, n0)
    visits = visit(grid, np.arange(3 * num_clips))
    openings: Counter[int] = Counter()
    current: dict[int, int] = {}
    for lane, chunk in zip(visits.lane.tolist(), visits.chunk_first.tolist(), strict=True):
        if current.get(lane) != chunk:
            current[lane] = chunk
            openings[chunk] += 1
    in_grid = int(grid.lanes[0] * grid.rows[0])
    # Lane 0 starts at its chunk's beginning; the other lanes open theirs of row 0 at the end of an epoch for the next.
    begun_inside = set(visits.chunk_first[1:lanes].tolist())
    assert len(openings) == in_grid
    assert all(count == (4 if chunk in begun_inside else 3) for chunk, count in openings.items())


def test_rows_are_shuffled_anew_in_every_epoch_but_row_0_stays() -> None:
    grid = lay_out(4000, 8, 25)
    a, b = visit(grid, np.arange(4000)), visit(grid, np.arange(4000, 8000))
    assert a.chunk_first[:8].tolist() == b.chunk_first[:8].tolist()
    assert np.mean(a.chunk_first == b.chunk_first) < 0.3
    assert not np.array_equal(a.clip[:8], b.clip[:8])


def test_lanes_change_chunk_at_different_moments() -> None:
    """10-step means of chunk openings stay below 1.5 times their mean, over the ends of epochs as well."""
    num_clips, lanes, n0, batch = 60_000, 64, 50, 64
    visits = visit(lay_out(num_clips, lanes, n0), np.arange(3 * num_clips // batch * batch))
    current: dict[int, int] = {}
    opened = np.zeros(visits.clip.size // batch)
    for i, (lane, chunk) in enumerate(
        zip(visits.lane.tolist(), visits.chunk_first.tolist(), strict=True)
    ):
        if current.get(lane) != chunk:
            current[lane] = chunk
            opened[i // batch] += i >= 10 * batch  # the first steps open every lane
    opened = opened[10:]
    means = np.convolve(opened, np.ones(10) / 10, "valid")
    assert means.max() < 1.5 * opened.mean()
    assert opened.max() <= 4


def test_draws_in_a_row_come_from_different_chunks() -> None:
    visits = visit(lay_out(64_000, 64, 100), np.arange(5000, 5064))
    assert len(set(visits.chunk_first.tolist())) == 64


def test_leftovers_are_spread_over_the_epoch_and_drawn_block_by_block() -> None:
    num_clips, max_lanes, n0 = (
        2999,
        100,
        10,
    )  # 100 lanes, 2 rows of 14, 199 leftovers in 14 blocks and a rest of 3
    visits = visit(lay_out(num_clips, max_lanes, n0), np.arange(num_clips))
    at = np.flatnonzero(visits.lane == LEFTOVER)
    assert at.size == 199
    assert np.diff(at).max() <= math.ceil(num_clips / 199)
    blocks = visits.chunk_first[at]
    assert np.count_nonzero(np.diff(blocks)) == 14  # each of 15 blocks is finished before the next
    assert visits.chunk_clips[at[-3:]].tolist() == [3, 3, 3]
    assert not np.array_equal(blocks, np.sort(blocks))


@pytest.mark.parametrize("lanes", [2, 7, 64, 1000, 2048])
def test_seats_of_neighbouring_lanes_are_spread(lanes: int) -> None:
    """Any run of a quarter of the lanes fills every eighth of the seats about evenly."""
    grid = lay_out(lanes * 4, lanes, 4)
    assert int(grid.lanes[0]) == lanes
    seats = visit(grid, np.arange(lanes)).seat
    assert np.unique(seats).size == lanes
    assert seats.min() >= 0 and seats.max() < SEATS
    run = max(1, lanes // 4)
    for start in range(0, lanes - run, max(1, lanes // 16)):
        filled = np.histogram(seats[start : start + run], bins=8, range=(0, SEATS))[0]
        assert np.abs(filled - run / 8).max() <= max(2, 0.1 * run / 8)


def test_single_lanes_and_leftovers_sit_by_name() -> None:
    names = [f"d{i}" for i in range(200)]
    grid = LaneGrid.lay_out(SEED, names, [60] * 200, [5] * 200, 320)
    seats = grid.visit(np.arange(200), np.zeros(200, np.int64)).seat
    assert np.histogram(seats, bins=4, range=(0, SEATS))[0].min() > 30
    assert np.array_equal(seats, grid.visit(np.arange(200), np.full(200, 59)).seat)


def test_golden_vectors() -> None:
    visits = visit(lay_out(1000, 4, 30), [0, 1, 2, 3, 499, 999, 1000, 10**9 + 7])
    assert visits.epoch.tolist() == [0, 0, 0, 0, 0, 0, 1, 1000000]
    assert visits.lane.tolist() == [0, 1, 2, 3, -1, -1, 0, 3]
    assert visits.chunk_first.tolist() == [899, 186, 124, 93, 992, 992, 899, 93]
    assert visits.clip.tolist() == [903, 216, 153, 93, 999, 992, 921, 105]
    assert visits.seat.tolist() == [
        137438953472,
        412316860416,
        687194767360,
        962072674304,
        19458513755,
        19458513755,
        137438953472,
        962072674304,
    ]
