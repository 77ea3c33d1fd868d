import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.configs.loading import build
from surgstream.trainer.batch import IMAGENET_MEAN, IMAGENET_STD
from surgstream.trainer.data.augment import (
    ClipTransform,
    augmented,
    draw_flips,
    draw_transform,
    view_windows,
)
from surgstream.trainer.data.augmentation.config import (
    CropConfig,
    EraseConfig,
    RandAugmentConfig,
    ResizedCropConfig,
)
from surgstream.trainer.data.augmentation.erasing import draw_erasing, erase
from surgstream.trainer.data.augmentation.operations import operate
from surgstream.trainer.data.augmentation.policy import Operation, draw_operations
from surgstream.trainer.data.augmentation.windows import multi_scale_crop, resized_crop
from surgstream.trainer.data.config import AugmentConfig

RECIPE = CropConfig()
FINE_TUNING = AugmentConfig(
    resized_crop=ResizedCropConfig(),
    flip=0.5,
    rand_augment=RandAugmentConfig(),
    erase=EraseConfig(),
)


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


def levels(num_clips: int, seed: int = 0) -> torch.Tensor:
    """Bytes (B, T, C, H, W)."""
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.integers(0, 256, (num_clips, 2, 3, 12, 16), dtype=np.uint8))


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    """Clips (B, C, T, H, W) of bytes (B, T, C, H, W), as the graphs make them."""
    mean, std = (
        255 * torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return ((pixels.float() - mean) / std).transpose(1, 2)


def test_a_recipe_without_more_crops_as_before_and_touches_no_pixel() -> None:
    draws = np.arange(50)
    transform = draw_transform(AugmentConfig(), 3, draws, sizes(50, 456, 256))
    assert not transform.changes_pixels
    np.testing.assert_array_equal(
        transform.windows, multi_scale_crop(RECIPE, 3, draws, sizes(50, 456, 256))
    )
    clips = normalised(levels(2))
    assert augmented(clips, transform) is clips


def test_a_resized_crop_takes_the_place_of_the_crop() -> None:
    draws = np.arange(50)
    np.testing.assert_array_equal(
        draw_transform(FINE_TUNING, 3, draws, sizes(50, 320, 256)).windows,
        resized_crop(ResizedCropConfig(), 3, draws, sizes(50, 320, 256)),
    )


def test_a_view_is_not_augmented() -> None:
    assert not draw_transform("squash", 3, np.arange(4), sizes(4, 320, 256)).changes_pixels


def test_a_recipe_names_what_it_wants() -> None:
    tree = {"resized_crop": {}, "flip": 0.5, "rand_augment": {"num_ops": 2}, "erase": {}}
    config = build(AugmentConfig, tree, where="here")
    assert config.resized_crop == ResizedCropConfig() and config.erase == EraseConfig()
    assert config.rand_augment == RandAugmentConfig(num_ops=2)


def test_half_of_the_clips_are_mirrored_exactly() -> None:
    flipped = draw_flips(0.5, 0, np.arange(10_000))
    assert abs(flipped.mean() - 0.5) < 0.02
    assert draw_flips(1.0, 0, np.arange(100)).all()

    clips = normalised(levels(6))
    transform = draw_transform(AugmentConfig(flip=0.5), 0, np.arange(6), sizes(6, 320, 256))
    assert transform.flipped is not None and 0 < transform.flipped.sum() < 6
    for clip, mirrored, before in zip(
        augmented(clips, transform), transform.flipped, clips, strict=True
    ):
        assert torch.equal(clip, before.flip(-1) if mirrored else before)


def test_clips_are_mirrored_then_changed_then_erased() -> None:
    draws = np.arange(8)
    pixels = levels(8)
    operations = draw_operations(RandAugmentConfig(), 3, draws)
    erasing = draw_erasing(EraseConfig(probability=0.5), 3, draws)
    flipped = draw_flips(0.5, 3, draws)
    transform = ClipTransform(
        windows=view_windows("squash", sizes(8, 16, 12)),
        flipped=flipped,
        operations=operations,
        erasing=erasing,
    )

    mirrored = torch.where(torch.from_numpy(flipped).view(-1, 1, 1, 1, 1), pixels.flip(-1), pixels)
    expected = normalised(operate(mirrored, operations))
    erase(expected.transpose(1, 2), erasing)
    result = augmented(normalised(pixels), transform)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)
    assert result.transpose(1, 2).is_contiguous()


@settings(max_examples=20, derandomize=True, deadline=None)
@given(st.integers(0, 2**62), st.permutations(range(5)))
def test_a_clip_is_augmented_alike_in_any_batch(g: int, order: list[int]) -> None:
    draws = np.arange(g, g + 5)
    clips = normalised(levels(5, seed=g % 1000))
    before = clips.clone()
    whole = augmented(clips, draw_transform(FINE_TUNING, 3, draws, sizes(5, 320, 256)))
    assert torch.equal(clips, before), "what the graph made is not written to"

    some = order[:3]
    transform = draw_transform(FINE_TUNING, 3, draws[some], sizes(3, 320, 256))
    assert torch.equal(augmented(clips[some], transform), whole[some])


def test_clips_that_nothing_befalls_keep_every_bit() -> None:
    draws = np.arange(200)
    transform = draw_transform(FINE_TUNING, 3, draws, sizes(200, 320, 256))
    assert transform.flipped is not None and transform.operations and transform.erasing
    spared = (
        ~transform.flipped
        & (transform.operations.kinds == Operation.NONE).all(axis=1)
        & ~transform.erasing.erased
    )
    assert 0 < spared.sum() < 20
    # Off the whole levels that operations would round to
    clips = normalised(levels(200)) + 0.001
    assert torch.equal(augmented(clips, transform)[spared], clips[spared])


def test_another_seed_augments_in_another_way() -> None:
    clips = normalised(levels(8))
    first, other = (
        augmented(clips, draw_transform(FINE_TUNING, seed, np.arange(8), sizes(8, 320, 256)))
        for seed in (0, 1)
    )
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", ["flipped", "operations", "erasing"])
def test_purposes_do_not_share_their_numbers(name: str) -> None:
    """Whether a clip has one augmentation says nothing of another."""
    draws = np.arange(20_000)
    has = {
        "flipped": draw_flips(0.25, 3, draws),
        "operations": (draw_operations(RandAugmentConfig(), 3, draws).kinds[:, 0] >= 0),
        "erasing": draw_erasing(EraseConfig(), 3, draws).erased,
    }
    for other, values in has.items():
        if other != name:
            assert abs(np.corrcoef(has[name], values)[0, 1]) < 0.03
