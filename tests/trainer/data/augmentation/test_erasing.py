import random

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from timm.data.random_erasing import RandomErasing

from surgstream.shards.keyed_random import mix64
from surgstream.trainer.data.augmentation.config import EraseConfig
from surgstream.trainer.data.augmentation.erasing import boxes, draw_erasing, erase
from surgstream.trainer.data.augmentation.noise import normal_noise, stream

ALWAYS = EraseConfig(probability=1.0)
ALPHA = 1e-4
CPU = torch.device("cpu")


def drawn_boxes(config: EraseConfig, draws: np.ndarray, height: int, width: int) -> np.ndarray:
    return boxes(draw_erasing(config, 0, draws), height, width)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**62))
def test_boxes_lie_inside_the_picture(height: int, width: int, g: int) -> None:
    top, left, bottom, right = drawn_boxes(ALWAYS, np.arange(g, g + 16), height, width).T
    assert (top >= 0).all() and (top <= bottom).all() and (bottom <= height).all()
    assert (left >= 0).all() and (left <= right).all() and (right <= width).all()


@given(st.integers(0, 2**62), st.permutations(range(8)))
def test_a_clip_has_its_box_in_any_batch(g: int, order: list[int]) -> None:
    draws = np.arange(g, g + 8)
    whole = drawn_boxes(EraseConfig(), draws, 60, 80)
    np.testing.assert_array_equal(drawn_boxes(EraseConfig(), draws[order], 60, 80), whole[order])


def test_a_quarter_of_the_clips_is_erased() -> None:
    erased = draw_erasing(EraseConfig(), 0, np.arange(20_000)).erased
    assert stats.binomtest(int(erased.sum()), 20_000, 0.25).pvalue > ALPHA
    assert not draw_erasing(EraseConfig(probability=0.0), 0, np.arange(1000)).erased.any()


def test_boxes_are_distributed_as_those_of_timm() -> None:
    height, width = 60, 80
    random.seed(0)
    theirs = []
    erasing = RandomErasing(probability=1.0, mode="pixel", device="cpu")
    for _ in range(2000):
        _, rows, columns = torch.nonzero(erasing(torch.zeros(1, height, width)), as_tuple=True)
        theirs.append((rows.min(), columns.min(), rows.max() + 1, columns.max() + 1))

    of_both = []
    for found in (drawn_boxes(ALWAYS, np.arange(8000), height, width), np.array(theirs)):
        top, left, bottom, right = found.astype(np.int64).T
        h = bottom - top
        w = right - left
        of_both.append((h * w, h / w, top / (height - h), left / (width - w)))
    for ours, expected in zip(*of_both, strict=True):
        assert stats.ks_2samp(ours, expected).pvalue > ALPHA


def test_boxes_too_large_to_fit_erase_nothing() -> None:
    whole = EraseConfig(probability=1.0, area=(1.0, 1.0), aspect=1.0)
    top, left, bottom, right = drawn_boxes(whole, np.arange(20), 30, 30).T
    assert (top == bottom).all() and (left == right).all()


def test_noise_fills_one_box_in_all_frames_with_new_noise_in_each() -> None:
    frames = torch.full((6, 4, 3, 40, 50), 9.0)
    draws = draw_erasing(EraseConfig(probability=0.5), 1, np.arange(6))
    assert 0 < draws.erased.sum() < 6
    erase(frames, draws)

    for clip, (top, left, bottom, right) in zip(frames, boxes(draws, 40, 50), strict=True):
        changed = clip != 9.0
        inside = torch.zeros(40, 50, dtype=torch.bool)
        inside[top:bottom, left:right] = True
        assert torch.equal(changed, inside.expand_as(changed))

    noise = frames[frames != 9.0].numpy()
    assert stats.kstest(noise, stats.norm.cdf).pvalue > ALPHA
    first = int(np.flatnonzero(draws.erased)[0])
    top, left, bottom, right = boxes(draws, 40, 50)[first]
    in_box = frames[first, :, :, top:bottom, left:right].flatten(2).flatten(0, 1)
    others = np.corrcoef(in_box)[~np.eye(12, dtype=bool)]
    assert np.abs(others).max() < 6 / np.sqrt(in_box.shape[1]), "frames and channels are apart"


@settings(deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(1, 50))
def test_the_stream_is_that_of_keyed_random(key: int, count: int) -> None:
    golden = 0x9E3779B97F4A7C15
    states = [(key + number * golden) % 2**64 for number in range(1, count + 1)]
    expected = mix64(np.array(states, np.uint64))
    np.testing.assert_array_equal(stream(key, count, CPU).numpy().view(np.uint64), expected)


def test_noise_is_normal_and_differs_between_keys() -> None:
    noise = normal_noise(7, 100_000, CPU)
    assert stats.kstest(noise.numpy(), stats.norm.cdf).pvalue > ALPHA
    assert torch.isfinite(noise).all()
    other = normal_noise(8, 100_000, CPU)
    assert abs(float(torch.corrcoef(torch.stack([noise, other]))[0, 1])) < 0.02
    assert torch.equal(normal_noise(7, 10, CPU), noise[:10])
