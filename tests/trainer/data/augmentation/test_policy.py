import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from timm.data import auto_augment

from surgstream.trainer.data.augmentation.config import RandAugmentConfig
from surgstream.trainer.data.augmentation.policy import (
    NUM_OPERATIONS,
    Operation,
    argument,
    draw_operations,
)
from tests.trainer.data.augmentation import timms

OPERATIONS = [kind for kind in Operation if kind != Operation.NONE]
SURE = RandAugmentConfig(probability=1.0)
CLIPS = np.arange(20_000)
ALPHA = 1e-4
"""Chance that a test of a distribution with these draws fails by bad luck."""


def test_the_defaults_are_what_timm_reads_from_the_published_string() -> None:
    theirs = auto_augment.rand_augment_transform("rand-m7-n4-mstd0.5-inc1", {})
    ours = RandAugmentConfig()
    assert theirs.num_layers == ours.num_ops and theirs.choice_weights is None
    assert [op.name for op in theirs.ops] == [timms.INCREASING[kind] for kind in OPERATIONS]
    for op in theirs.ops:
        assert (op.magnitude, op.magnitude_std, op.prob) == (7, 0.5, 0.5)
        assert (ours.magnitude, ours.magnitude_std, ours.probability) == (7, 0.5, 0.5)

    others = auto_augment.rand_augment_transform("rand-m7-n4-mstd0.5", {})
    assert [op.name for op in others.ops] == [timms.OTHERS[kind] for kind in OPERATIONS]


@pytest.mark.parametrize("increasing", [True, False])
@pytest.mark.parametrize("kind", OPERATIONS)
@given(st.floats(0, 10), st.sampled_from([-1.0, 1.0]))
def test_what_an_operation_is_told_is_what_timm_tells_it(
    kind: Operation, increasing: bool, magnitude: float, sign: float
) -> None:
    name = (timms.INCREASING if increasing else timms.OTHERS)[kind]
    ours = argument(kind, np.array([magnitude]), np.array([sign]), increasing=increasing)
    assert ours[0] == timms.argument(name, magnitude, sign)


@given(st.integers(0, 2**62), st.permutations(range(8)))
def test_a_clip_has_the_same_operations_in_any_batch(g: int, order: list[int]) -> None:
    draws = np.arange(g, g + 8)
    whole = draw_operations(RandAugmentConfig(), 3, draws)
    reordered = draw_operations(RandAugmentConfig(), 3, draws[order])
    np.testing.assert_array_equal(reordered.kinds, whole.kinds[order])
    np.testing.assert_array_equal(reordered.arguments, whole.arguments[order])


def test_every_operation_and_every_pair_is_as_likely() -> None:
    kinds = draw_operations(SURE, 0, CLIPS).kinds
    assert kinds.shape == (len(CLIPS), 4)
    for place in range(4):
        counts = np.bincount(kinds[:, place], minlength=NUM_OPERATIONS)
        assert stats.chisquare(counts).pvalue > ALPHA

    # With replacement: the second does not depend on the first
    pairs = np.bincount(kinds[:, 0] * NUM_OPERATIONS + kinds[:, 1], minlength=NUM_OPERATIONS**2)
    assert stats.chisquare(pairs).pvalue > ALPHA


def test_half_of_the_operations_are_applied_whichever_they_are() -> None:
    drawn = draw_operations(SURE, 0, CLIPS).kinds
    applied = draw_operations(RandAugmentConfig(), 0, CLIPS).kinds
    kept = applied != Operation.NONE
    np.testing.assert_array_equal(applied[kept], drawn[kept])
    assert abs(kept.mean() - 0.5) < 0.01

    table = np.array([np.bincount(kept[drawn == kind], minlength=2) for kind in OPERATIONS])
    assert stats.chi2_contingency(table).pvalue > ALPHA
    of_a_clip = np.bincount(kept.sum(axis=1), minlength=5)
    assert stats.chisquare(of_a_clip, len(CLIPS) * stats.binom(4, 0.5).pmf(range(5))).pvalue > ALPHA

    never = draw_operations(RandAugmentConfig(probability=0.0), 0, CLIPS).kinds
    assert (never == Operation.NONE).all()


def test_magnitudes_are_normal_and_signs_are_fair() -> None:
    draws = draw_operations(SURE, 0, CLIPS)
    degrees = draws.arguments[draws.kinds == Operation.ROTATE]
    assert stats.kstest(np.abs(degrees) / 3, stats.norm(7, 0.5).cdf).pvalue > ALPHA
    assert stats.binomtest(int((degrees > 0).sum()), len(degrees)).pvalue > ALPHA
    # Which direction it is says nothing of how much it is
    assert stats.ks_2samp(degrees[degrees > 0], -degrees[degrees < 0]).pvalue > ALPHA


def test_magnitudes_stay_between_0_and_10() -> None:
    wild = RandAugmentConfig(probability=1.0, magnitude_std=10.0)
    draws = draw_operations(wild, 0, CLIPS)
    degrees = np.abs(draws.arguments[draws.kinds == Operation.ROTATE])
    assert degrees.min() == 0 and degrees.max() == 30
    assert abs((degrees == 30).mean() - stats.norm(7, 10).sf(10)) < 0.02

    fixed = RandAugmentConfig(probability=1.0, magnitude_std=0.0)
    draws = draw_operations(fixed, 0, CLIPS)
    assert set(np.abs(draws.arguments[draws.kinds == Operation.ROTATE])) == {0.7 * 30.0}


@pytest.mark.parametrize("kind", [Operation.CONTRAST, Operation.SOLARIZE, Operation.SHEAR_Y])
def test_arguments_are_distributed_as_those_of_timm(kind: Operation) -> None:
    told: list[float] = []
    op = auto_augment.AugmentOp(
        timms.INCREASING[kind], prob=1.0, magnitude=7, hparams={"magnitude_std": 0.5}
    )
    op.aug_fn = lambda _picture, argument_, **_: told.append(argument_)
    auto_augment.random.seed(0)
    for _ in range(5000):
        op(None)

    ours = draw_operations(SURE, 1, CLIPS)
    assert stats.ks_2samp(told, ours.arguments[ours.kinds == kind]).pvalue > ALPHA
