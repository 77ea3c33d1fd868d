import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.trainer.models.config import Grid
from surgstream.trainer.objectives.masks.masking import (
    BlockMask,
    block_mask,
    draw_drop_path_scales,
    num_masked_tubes,
    tube_mask,
)
from tests.trainer import reference

PUBLISHED = Grid(8, 14, 14)
SETTINGS = settings(max_examples=25, derandomize=True, deadline=None)
DRAWS = st.lists(st.integers(0, 2**50), min_size=1, max_size=6).map(np.array)
SEEDS = st.integers(0, 2**31)


@pytest.mark.parametrize(("ratio", "tubes"), [(0.85, 166), (0.9, 176)])
def test_published_ratios_mask_the_published_numbers(ratio: float, tubes: int) -> None:
    assert num_masked_tubes(PUBLISHED, ratio) == tubes


@SETTINGS
@given(SEEDS, DRAWS)
def test_every_slice_hides_the_same_166_positions(seed: int, g: np.ndarray) -> None:
    visible, masked = tube_mask(PUBLISHED, 0.85, seed, g)
    assert visible.shape == (len(g), 240) and masked.shape == (len(g), 1328)
    assert visible.dtype == masked.dtype == np.int64
    for shown, hidden in zip(visible, masked, strict=True):
        assert sorted([*shown, *hidden]) == list(range(1568))
        assert (np.diff(shown) > 0).all() and (np.diff(hidden) > 0).all()
        slices = hidden.reshape(8, 166)
        assert (slices - 196 * np.arange(8)[:, None] == slices[0]).all() and slices[0].max() < 196


@SETTINGS
@given(SEEDS, DRAWS)
def test_masks_are_those_of_the_reference_whatever_shares_the_batch(
    seed: int, g: np.ndarray
) -> None:
    grid = Grid(2, 4, 5)
    visible, masked = tube_mask(grid, 0.7, seed, g)
    for i, draw in enumerate(g):
        expected = reference.masked_tubes(seed, int(draw), 20, 14)
        assert masked[i].tolist() == expected + [20 + tube for tube in expected]
        alone = tube_mask(grid, 0.7, seed, g[i : i + 1])
        assert (alone[0][0] == visible[i]).all() and (alone[1][0] == masked[i]).all()


def test_every_tube_is_masked_equally_often() -> None:
    _, masked = tube_mask(Grid(1, 14, 14), 0.85, 0, np.arange(4000))
    counts = np.bincount(masked.ravel(), minlength=196) / 4000
    # Six standard deviations of a share of 166/196 over 4000 clips.
    assert np.abs(counts - 166 / 196).max() < 6 * np.sqrt(0.85 * 0.15 / 4000)


def test_seeds_and_draws_give_different_masks() -> None:
    masks = {
        tube_mask(PUBLISHED, 0.85, seed, np.array([g]))[1].tobytes()
        for seed in range(5)
        for g in range(5)
    }
    assert len(masks) == 25


@SETTINGS
@given(SEEDS, DRAWS, st.floats(0.0, 0.9), st.integers(1, 6), st.integers(0, 2))
def test_drop_paths_are_those_of_the_reference_whatever_shares_the_batch(
    seed: int, g: np.ndarray, rate: float, depth: int, network: int
) -> None:
    drop_path_scales = draw_drop_path_scales(rate, depth, seed, network, g)
    assert drop_path_scales.shape == (len(g), depth, 2) and drop_path_scales.dtype == np.float32
    for i, draw in enumerate(g):
        expected = reference.drop_path_scales(rate, depth, seed, network, int(draw))
        np.testing.assert_allclose(drop_path_scales[i], expected, rtol=1e-6)


def test_drop_path_rates_grow_linearly_and_keep_the_expectation() -> None:
    drop_path_scales = draw_drop_path_scales(0.4, 5, 0, 0, np.arange(20_000))
    for branch in (0, 1):
        np.testing.assert_allclose(
            (drop_path_scales[..., branch] == 0).mean(0), [0.0, 0.1, 0.2, 0.3, 0.4], atol=0.02
        )
    np.testing.assert_allclose(drop_path_scales.mean(0), 1.0, atol=0.03)


def test_the_branches_of_a_block_are_dropped_independently() -> None:
    """Both at the square of the rate, as the released codes draw for each of them."""
    dropped = draw_drop_path_scales(0.4, 5, 0, 0, np.arange(20_000)) == 0
    np.testing.assert_allclose(
        dropped.all(-1).mean(0), np.square([0.0, 0.1, 0.2, 0.3, 0.4]), atol=0.02
    )


def test_networks_have_draws_of_their_own() -> None:
    first, second = (
        draw_drop_path_scales(0.5, 8, 0, network, np.arange(100)) for network in (0, 1)
    )
    assert ((first == 0) != (second == 0)).any()


BLOCKS = st.builds(
    BlockMask,
    num_blocks=st.integers(1, 8),
    scale=st.floats(0.05, 0.7),
    aspect=st.tuples(st.floats(0.5, 1.0), st.floats(1.0, 2.0)),
)


@SETTINGS
@given(SEEDS, DRAWS, BLOCKS, st.integers(2, 8), st.integers(2, 8), st.integers(1, 4))
def test_blocks_are_the_same_in_every_slice_and_leave_something(
    seed: int, g: np.ndarray, blocks: BlockMask, rows: int, columns: int, slices: int
) -> None:
    grid, g = Grid(slices, rows, columns), np.array(g)
    visible, masked = block_mask(grid, blocks, seed, 0, g)
    assert len(visible) == len(masked) == len(g) and visible.shape[1] and masked.shape[1]
    for shown, hidden in zip(visible, masked, strict=True):
        assert not set(shown) & set(hidden) and max(*shown, *hidden) < grid.num_tokens
        assert (np.diff(shown) > 0).all() and (np.diff(hidden) > 0).all()
        tubes = set(hidden % grid.num_tubes)
        assert not tubes & set(shown % grid.num_tubes), "a tube is visible or masked, in all slices"


def test_published_blocks_hide_what_the_released_ones_hide() -> None:
    grid, sizes = Grid(8, 14, 14), []
    for blocks in (BlockMask(num_blocks=8, scale=0.15), BlockMask(num_blocks=2, scale=0.7)):
        masks = [block_mask(grid, blocks, 0, 0, np.array([g])) for g in range(500)]
        sizes.append(np.mean([masked.shape[1] / grid.num_tokens for _, masked in masks]))
    assert 0.6 < sizes[0] < 0.75 and 0.8 < sizes[1] < 0.95


def test_a_clip_has_the_same_blocks_beside_any_other_of_their_size() -> None:
    grid, blocks = Grid(2, 14, 14), BlockMask(num_blocks=8, scale=0.15, aspect=(1.0, 1.0))
    together = block_mask(grid, blocks, 3, 1, np.arange(6))
    for i in range(6):
        alone = block_mask(grid, blocks, 3, 1, np.array([i]))
        for some, whole in zip(together, alone, strict=True):
            assert np.array_equal(some[i], whole[0, : some.shape[1]])
