from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.shards.keyed_random import Purpose, hash64, hash_text
from surgstream.shards.order.mixture import (
    MAX_COUNT,
    MAX_PERIOD,
    Mixture,
    asked_shares,
    period_counts,
)

COUNTS = st.lists(st.integers(0, 60), min_size=1, max_size=6).filter(any)


def mixture(counts: list[int], seed: int = 1) -> Mixture:
    names = [f"d{i}" for i in range(len(counts))]
    keys = np.array([hash_text(name) for name in names], np.uint64)
    return Mixture(seed=seed, keys=keys, counts=np.array(counts, np.int64))


def sorted_period(counts: list[int], seed: int, period: int) -> list[tuple[int, int]]:
    """A whole period by definition: all keys, exactly, sorted; ties by dataset, then j."""
    fraction_bits = min(32, 63 - 14 - max(counts).bit_length())
    keyed = []
    for dataset, count in enumerate(counts):
        for j in range(count):
            bits = hash64(seed, Purpose.MIXTURE, hash_text(f"d{dataset}"), period, j).item()
            keyed.append(
                ((((j << fraction_bits) | bits >> (64 - fraction_bits)) << 14) // count, dataset, j)
            )
    return [(dataset, period * counts[dataset] + j) for _, dataset, j in sorted(keyed)]


@given(COUNTS, st.integers(0, 2**32), st.data())
@settings(max_examples=60, derandomize=True, deadline=None)
def test_any_window_equals_the_sorted_periods(
    counts: list[int], seed: int, data: st.DataObject
) -> None:
    whole = [draw for period in range(3) for draw in sorted_period(counts, seed, period)]
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, len(whole)))
    dataset, k = mixture(counts, seed).draws(start, stop)
    assert list(zip(dataset.tolist(), k.tolist(), strict=True)) == whole[start:stop]
    drawn = np.bincount([d for d, _ in whole[:start]], minlength=len(counts))
    assert mixture(counts, seed).drawn_before(start).tolist() == drawn.tolist()


def test_golden_vectors() -> None:
    dataset, k = mixture([5, 2, 1], seed=7).draws(6, 16)
    assert dataset.tolist() == [0, 1, 0, 1, 0, 0, 1, 2, 0, 0]
    assert k.tolist() == [4, 1, 5, 2, 6, 7, 3, 1, 8, 9]
    dataset, k = mixture([3_000_000, 500_000, 52_777], seed=7).draws(10**12, 10**12 + 10)
    assert dataset.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert k.tolist() == [
        844409879933,
        844409879934,
        844409879935,
        844409879936,
        844409879937,
        140734979989,
        844409879938,
        844409879939,
        844409879940,
        844409879941,
    ]


@given(COUNTS, st.integers(0, 10**12))
@settings(max_examples=40, derandomize=True, deadline=None)
def test_counts_are_exact_in_every_period_and_k_counts_up(counts: list[int], period: int) -> None:
    start = period * sum(counts)
    dataset, k = mixture(counts).draws(start, start + sum(counts))
    for d, count in enumerate(counts):
        assert k[dataset == d].tolist() == [period * count + j for j in range(count)]


@pytest.mark.parametrize("counts", [[1_700_000, 900_000, 2_777], [MAX_COUNT, MAX_COUNT // 3, 1]])
def test_shares_are_nearly_exact_in_every_step(counts: list[int]) -> None:
    period = sum(counts)
    for start in (0, 10**6, period - 1024, 10**5 * period + 12_345):
        dataset, k = mixture(counts).draws(start, start + 2048)
        expected = 2048 * np.array(counts) / period
        assert np.abs(np.bincount(dataset, minlength=len(counts)) - expected).max() < 3
        for d in range(len(counts)):
            assert (np.diff(k[dataset == d]) == 1).all()


def test_datasets_mix_within_a_period() -> None:
    dataset, _ = mixture([500, 500]).draws(0, 1000)
    runs = 1 + np.count_nonzero(np.diff(dataset))
    assert 400 < runs < 950  # 2 would be one after the other, 1000 strictly in turn


def test_a_dataset_keeps_its_draws_when_another_has_no_weight() -> None:
    with_third, without = mixture([5, 3, 0]), mixture([5, 3])
    for a, b in zip(with_third.draws(3, 90), without.draws(3, 90), strict=True):
        assert np.array_equal(a, b)


def test_uniform_asks_for_every_clip_alike() -> None:
    assert asked_shares("uniform", {"a": "s", "b": "s"}, {"a": 30, "b": 10}) == {
        "a": Fraction(3, 4),
        "b": Fraction(1, 4),
    }


def test_balanced_gives_every_specialty_and_every_dataset_in_it_the_same() -> None:
    # UniSurg: 1 / (N_d |D_s|) a clip is 1 / |D_s| a dataset.
    specialties = {"a": "s", "b": "s", "c": "s", "d": "t", "e": "t", "f": "u"}
    shares = asked_shares("balanced", specialties, dict.fromkeys(specialties, 1) | {"a": 1000})
    assert shares == {
        name: Fraction(1, 3 * n) for name, n in zip("abcdef", (3, 3, 3, 2, 2, 1), strict=True)
    }
    assert period_counts(shares) == {"a": 2, "b": 2, "c": 2, "d": 3, "e": 3, "f": 6}


def test_weights_written_as_decimals_are_exact() -> None:
    shares = asked_shares({"a": 0.1, "b": 0.2, "c": 1}, {}, {"a": 5, "b": 5, "c": 5})
    assert period_counts(shares) == {"a": 1, "b": 2, "c": 10}


def test_a_weight_of_zero_leaves_a_dataset_out() -> None:
    assert period_counts(asked_shares({"a": 2, "b": 0}, {}, {"a": 5, "b": 5})) == {"a": 1, "b": 0}


@given(st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=8))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_other_weights_are_rounded_by_at_most_one_draw(weights: list[float]) -> None:
    names = [f"d{i}" for i in range(len(weights))]
    shares = asked_shares(dict(zip(names, weights, strict=True)), {}, dict.fromkeys(names, 1))
    counts = period_counts(shares)
    period = sum(counts.values())
    assert period <= MAX_PERIOD
    for name in names:
        error = abs(shares[name] - Fraction(counts[name], period))
        assert error < Fraction(1, MAX_PERIOD) if period == MAX_PERIOD else error == 0


def test_weights_must_name_the_datasets() -> None:
    with pytest.raises(
        ConfigError, match=r"weights\.c: expected a dataset of the corpus; the corpus has a, b"
    ):
        asked_shares({"a": 1, "b": 1, "c": 1}, {}, {"a": 1, "b": 1})
    with pytest.raises(
        ConfigError, match=r"weights\.b: expected a weight \(0 leaves the dataset out\)"
    ):
        asked_shares({"a": 1}, {}, {"a": 1, "b": 1})


def test_a_weight_too_small_to_be_drawn_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"weights\.b: expected a share of at least 1 draw"):
        period_counts(asked_shares({"a": 1, "b": 1e-12}, {}, {"a": 1, "b": 1}))


@pytest.mark.parametrize("power", [0.0, 0.3, 0.5, 1.0, 2.0])
def test_temperature_weighs_datasets_by_a_power_of_their_clips(power: float) -> None:
    num_clips = {"large": 3_552_777, "middle": 40_000, "small": 900}
    shares = asked_shares({"temperature": power}, dict.fromkeys(num_clips, "s"), num_clips)
    masses = {name: clips**power for name, clips in num_clips.items()}
    assert sum(shares.values()) == 1
    for name, share in shares.items():
        assert float(share) == pytest.approx(masses[name] / sum(masses.values()), rel=1e-12)
        assert period_counts(shares)[name] > 0


def test_the_ends_of_temperature_are_uniform_and_all_alike() -> None:
    num_clips, specialties = {"a": 12345, "b": 77}, {"a": "s", "b": "s"}
    assert asked_shares({"temperature": 1.0}, specialties, num_clips) == asked_shares(
        "uniform", specialties, num_clips
    )
    assert set(asked_shares({"temperature": 0.0}, specialties, num_clips).values()) == {
        Fraction(1, 2)
    }


def test_a_sole_dataset_has_any_temperature() -> None:
    assert asked_shares({"temperature": 0.5}, {"cholec80": "s"}, {"cholec80": 100}) == {
        "cholec80": 1
    }


def test_a_dataset_may_be_called_temperature() -> None:
    assert asked_shares({"temperature": 3.0}, {"temperature": "s"}, {"temperature": 5}) == {
        "temperature": 1
    }
    both = {"temperature": 3.0, "other": 1.0}
    assert asked_shares(both, dict.fromkeys(both, "s"), dict.fromkeys(both, 5))[
        "temperature"
    ] == Fraction(3, 4)
