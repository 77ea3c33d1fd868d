import itertools
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.data.augment import draw_transform, multi_scale_crop, view_windows
from surgstream.trainer.data.config import AugmentConfig, CropConfig

RECIPE = CropConfig()


def sizes(count: int, width: int, height: int) -> np.ndarray:
    return np.tile(np.array([[width, height]], dtype=np.int64), (count, 1))


@given(st.integers(8, 2000), st.integers(8, 2000), st.integers(0, 2**62), st.integers(0, 2**62))
def test_windows_lie_inside_the_frame(width: int, height: int, seed: int, g: int) -> None:
    draws = np.arange(g, g + 16)
    left, top, right, bottom = multi_scale_crop(RECIPE, seed, draws, sizes(16, width, height)).T
    assert (left >= 0).all() and (top >= 0).all()
    assert (right <= width).all() and (bottom <= height).all()
    assert (right > left).all() and (bottom > top).all()


@given(st.integers(0, 2**62), st.permutations(range(8)))
def test_a_clip_is_cropped_the_same_way_in_any_batch(g: int, order: list[int]) -> None:
    draws = np.arange(g, g + 8)
    whole = multi_scale_crop(RECIPE, 3, draws, sizes(8, 456, 256))
    reordered = multi_scale_crop(RECIPE, 3, draws[order], sizes(8, 456, 256))
    np.testing.assert_array_equal(reordered, whole[order])


def test_every_pair_of_scales_and_every_offset_is_as_likely() -> None:
    windows = multi_scale_crop(RECIPE, 0, np.arange(52_000), sizes(52_000, 356, 256))
    left, top, right, bottom = windows.astype(int).T
    shapes = Counter(zip(right - left, bottom - top, strict=True))

    # Sides are int(256 x scale); neighbours in the list of scales may be mixed, others not.
    sides = [256, 224, 192, 168]
    neighbours = [(i, j) for i, j in itertools.product(range(4), repeat=2) if abs(i - j) <= 1]
    assert set(shapes) == {(sides[i], sides[j]) for i, j in neighbours}
    expected = 52_000 / 10
    assert 0.9 * expected < min(shapes.values()) and max(shapes.values()) < 1.1 * expected

    small = (right - left == 168) & (bottom - top == 168)
    offsets = Counter(zip(left[small], top[small], strict=True))
    x = (356 - 168) // 4
    y = (256 - 168) // 4
    corners_edges_centre = {(a * x, b * y) for a, b in itertools.product((0, 2, 4), repeat=2)}
    quarters = {(a * x, b * y) for a, b in itertools.product((1, 3), repeat=2)}
    assert set(offsets) == corners_edges_centre | quarters
    assert len(offsets) == 13
    assert max(offsets.values()) < 1.25 * small.sum() / 13


def test_the_seed_decides() -> None:
    draws = np.arange(100)
    first, other = (multi_scale_crop(RECIPE, seed, draws, sizes(100, 456, 256)) for seed in (0, 1))
    assert (first != other).any()


def test_training_takes_drawn_windows_and_evaluation_the_centre_square() -> None:
    draws = np.arange(100)
    frame_sizes = sizes(100, 456, 256)
    np.testing.assert_array_equal(
        draw_transform(AugmentConfig(crop=RECIPE), 3, draws, frame_sizes).windows,
        multi_scale_crop(RECIPE, 3, draws, frame_sizes),
    )
    np.testing.assert_array_equal(
        draw_transform("centre", 3, draws, frame_sizes).windows, view_windows("centre", frame_sizes)
    )
    np.testing.assert_array_equal(view_windows("centre", sizes(1, 100, 60)), [[20, 0, 80, 60]])


def test_uniform_offsets_reach_every_place_of_the_frame() -> None:
    config = CropConfig(scales=(0.875,), max_distortion=0, offsets="uniform")
    windows = multi_scale_crop(config, 5, np.arange(20_000), sizes(20_000, 272, 256))
    left, top, right, bottom = windows.T

    assert set(right - left) == set(bottom - top) == {224}
    assert set(left) == set(range(272 - 224 + 1)) and set(top) == set(range(256 - 224 + 1))
    for starts in (left, top):
        counts = np.bincount(starts)
        assert counts.min() > 0.7 * counts.mean() and counts.max() < 1.3 * counts.mean()
    assert abs(np.corrcoef(left, top)[0, 1]) < 0.03
