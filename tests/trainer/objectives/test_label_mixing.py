from typing import Literal
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from timm.data import mixup
from torch._dynamo.testing import CompileCounterWithBackend

from surgstream.shards.order.sequence import DatasetSize, Order, OrderConfig, RankShare
from surgstream.trainer.objectives.config import MixConfig
from surgstream.trainer.objectives.label_mixing import (
    MixDraw,
    beta,
    draw_mixing,
    mix,
    mixing,
    soft_targets,
    window,
)

CPU = torch.device("cpu")
SIZE = (24, 32)
BLEND = MixConfig(cutmix=0.0)
CUT = MixConfig(mixup=0.0)
ALPHA = 1e-4
SETTINGS = settings(max_examples=40, derandomize=True, deadline=None)


def batch(num_clips: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    clips = torch.randn(num_clips, 3, 2, *SIZE, generator=random)
    return clips, torch.randint(0, 7, (num_clips,), generator=random)


def shares(config: MixConfig, num_draws: int) -> list[tuple[np.ndarray, float]]:
    drawn = [mixing(config, 0, draw, SIZE) for draw in range(num_draws)]
    return [(pixels, float(label)) for pixels, label in drawn]


@pytest.mark.parametrize(("config", "alpha"), [(BLEND, 0.8), (CUT, 1.0)])
@pytest.mark.parametrize("num_clips", [2, 6])
def test_clips_and_targets_are_those_of_timm(
    config: MixConfig, alpha: float, num_clips: int
) -> None:
    clips, labels = batch(num_clips)
    mixer = mixup.Mixup(label_smoothing=0.1, num_classes=7)
    for draw in range(20):
        drawn = draw_mixing(config, 3, np.arange(draw, draw + num_clips), SIZE, CPU)
        mixed, targets = mix(clips, soft_targets(labels, 7, 0.1), drawn)

        own = beta(alpha, 3, draw)
        cuts = config is CUT
        place = np.argwhere(drawn.own_pixels.numpy() == 0)
        box = (*place.min(0), *(place.max(0) + 1)) if len(place) else (0, 0, 0, 0)
        top, left, bottom, right = box
        # timm mixes in place, pictures rather than clips
        pictures = clips.flatten(1, 2).clone()
        with (
            mock.patch.object(mixer, "_params_per_batch", lambda cuts=cuts, own=own: (own, cuts)),
            mock.patch.object(
                mixup, "rand_bbox", lambda *_, box=box, **__: np.array(box)[[0, 2, 1, 3]]
            ),
        ):
            expected, expected_targets = mixer(pictures, labels)
        torch.testing.assert_close(mixed.flatten(1, 2), expected, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(targets, expected_targets, rtol=1e-6, atol=1e-6)

        if cuts:
            inside = clips.flip(0)[..., top:bottom, left:right]
            assert torch.equal(mixed[..., top:bottom, left:right], inside)
            outside = drawn.own_pixels == 1
            assert torch.equal(mixed[..., outside], clips[..., outside])


@SETTINGS
@given(st.floats(0, 1), st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)))
def test_the_window_is_that_of_timm(own: float, place: tuple[float, float]) -> None:
    centres = [int(number * side) for number, side in zip(place, SIZE, strict=True)]
    with mock.patch.object(mixup.np.random, "randint", side_effect=centres):
        top, bottom, left, right = mixup.rand_bbox((3, *SIZE), own)
    assert window(own, list(place), SIZE) == (top, left, bottom, right)


def test_the_label_has_the_share_of_the_pixels() -> None:
    for pixels, label in shares(MixConfig(), 200):
        assert label == pytest.approx(pixels.mean(dtype=np.float64), abs=1e-7)


@pytest.mark.parametrize("alpha", [0.1, 0.8, 1.0, 4.0, 400.0])
def test_shares_are_those_of_the_beta_distribution(alpha: float) -> None:
    drawn = [beta(alpha, 1, draw) for draw in range(2000)]
    assert min(drawn) >= 0 and max(drawn) <= 1
    assert stats.kstest(drawn, stats.beta(alpha, alpha).cdf).pvalue > ALPHA


@pytest.mark.parametrize("alpha", [1e-308, 1e-3, 1e3])
def test_shares_of_extreme_distributions_are_numbers(alpha: float) -> None:
    drawn = np.array([beta(alpha, 1, draw) for draw in range(500)])
    assert ((drawn >= 0) & (drawn <= 1)).all() and abs(drawn.mean() - 0.5) < 0.1


def test_blends_cuts_and_neither_are_as_often_as_they_should_be() -> None:
    num_draws = 3000
    config = MixConfig(mixup=0.8, cutmix=1.0, probability=0.6, switch=0.3)
    cut = blended = 0
    for pixels, label in shares(config, num_draws):
        if np.unique(pixels).size > 1:
            cut += 1
        elif 0 < label < 1:
            blended += 1
    assert stats.binomtest(blended, num_draws, 0.6 * 0.7).pvalue > ALPHA
    # A few windows are too small, or all there is
    assert abs(cut - 0.6 * 0.3 * num_draws) < 0.06 * num_draws


def test_windows_lie_anywhere() -> None:
    corner = np.zeros(SIZE)
    for pixels, _ in shares(CUT, 2000):
        corner += pixels == 0
    # The centre is uniform, so the middle is covered most, and the sides alike
    assert corner.min() > 0.05 * 2000
    assert corner[12, 16] > corner[0, 0]
    for axis in (0, 1):
        assert np.abs(np.log(corner.mean(axis) / corner.mean(axis)[::-1])).max() < 0.25


@pytest.mark.parametrize("num_clips", [1, 4, 5])
@pytest.mark.parametrize("config", [MixConfig(probability=0.0), MixConfig(mixup=0.0, cutmix=0.0)])
def test_where_nothing_is_mixed_nothing_changes(config: MixConfig, num_clips: int) -> None:
    clips, labels = batch(num_clips)
    targets = soft_targets(labels, 7, 0.1)
    drawn = draw_mixing(config, 0, np.arange(num_clips), SIZE, CPU)
    mixed, mixed_targets = mix(clips, targets, drawn)
    assert torch.equal(mixed, clips) and torch.equal(mixed_targets, targets)


def test_the_clip_in_the_middle_of_an_odd_number_is_its_own_partner() -> None:
    clips, labels = batch(3)
    numbers = labels.float()
    mixed, mixed_numbers = mix(clips, numbers, draw_mixing(BLEND, 0, np.arange(3), SIZE, CPU))
    torch.testing.assert_close(mixed[1], clips[1])
    torch.testing.assert_close(mixed_numbers[1], numbers[1])
    assert not torch.allclose(mixed[0], clips[0])


@pytest.mark.parametrize("micro_batches", ["by_chunk", "mixed"])
def test_a_micro_batch_is_mixed_alike_on_any_number_of_ranks(
    micro_batches: Literal["by_chunk", "mixed"],
) -> None:
    order = Order.create((DatasetSize("a", "s", 700), DatasetSize("b", "t", 90)), 3, OrderConfig())
    draws = order.draws(960, 48)

    def mixed_draws(world_size: int) -> dict[int, tuple[float, float]]:
        """By draw number, what the clip and its label become, both being the draw number before."""
        found = {}
        for rank in range(world_size):
            share = RankShare(
                rank=rank,
                world_size=world_size,
                micro_batch_size=4,
                global_batch_size=48,
                micro_batches=micro_batches,
            )
            for members in share.assign(draws):
                numbers = draws.number[members]
                values = torch.from_numpy(numbers).double()
                clips = values.view(-1, 1, 1, 1, 1).expand(-1, 1, 1, *SIZE)
                drawn = draw_mixing(MixConfig(), 5, numbers, SIZE, CPU)
                clips, labels = mix(clips, values, drawn)
                of_clips = zip(clips.mean((1, 2, 3, 4)).tolist(), labels.tolist(), strict=True)
                found.update(zip(numbers.tolist(), of_clips, strict=True))
        return found

    alone = mixed_draws(1)
    assert len(alone) == 48
    assert mixed_draws(2) == alone and mixed_draws(12) == alone
    # As many labels as pixels are the partner's
    assert all(clip == pytest.approx(label, abs=1e-4) for clip, label in alone.values())


def test_one_graph_serves_all_draws(traces: CompileCounterWithBackend) -> None:
    clips, labels = batch(4)
    targets = soft_targets(labels, 7, 0.1)
    compiled = torch.compile(mix, backend=traces, fullgraph=True)
    for draw in range(6):
        drawn = draw_mixing(MixConfig(probability=0.8), 0, np.arange(draw, draw + 4), SIZE, CPU)
        for ours, expected in zip(
            compiled(clips, targets, drawn), mix(clips, targets, drawn), strict=True
        ):
            assert torch.equal(ours, expected)
    assert traces.frame_count == 1


def test_mixing_keeps_the_precision_of_the_clips() -> None:
    clips, _ = batch(2)
    drawn = MixDraw(torch.full(SIZE, 0.25), torch.tensor(0.25))
    mixed, targets = mix(clips.bfloat16(), torch.eye(2), drawn)
    assert mixed.dtype == torch.bfloat16
    torch.testing.assert_close(targets, torch.tensor([[0.25, 0.75], [0.75, 0.25]]))


@given(st.lists(st.integers(0, 6), min_size=1), st.floats(0, 0.99))
def test_targets_are_smoothed_as_in_timm(labels: list[int], smoothing: float) -> None:
    targets = soft_targets(torch.tensor(labels), 7, smoothing)
    expected = mixup.mixup_target(torch.tensor(labels), 7, lam=1.0, smoothing=smoothing)
    torch.testing.assert_close(targets, expected, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(targets.sum(1), torch.ones(len(labels)))
