"""Folds of repeated cross-validation."""

import math

import numpy as np
import pytest

from surgstream.shards.keyed_random import Purpose, choice, hash64
from surgstream.trainer.evaluation.statistics.folds import nadeau_bengio
from tests.trainer.evaluation.statistics.made import normals


def test_the_variance_is_the_papers() -> None:
    """Five folds of 80 and 20: s^2 = 10 / 4, times 1/5 + 20/80; t_.975 of 4 is 2.7764451."""
    found = nadeau_bengio(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), num_train=80, num_test=20)
    assert found.mean == 3
    assert found.sd**2 == pytest.approx(2.5)
    assert found.variance == pytest.approx(2.5 * 0.45)

    half = 2.7764451 * math.sqrt(2.5 * 0.45)
    assert (found.interval.low, found.interval.high) == pytest.approx((3 - half, 3 + half))
    assert found.interval.method == "corrected_t"
    assert found.interval.num_units == 5


def test_more_repetitions_do_not_make_the_interval_vanish() -> None:
    """What is known of 40 videos is bounded: below n_test / n_train of the folds' variance it never gets."""
    folds = normals(1000, seed=1)
    found = nadeau_bengio(folds, num_train=32, num_test=8)
    assert found.variance > 8 / 32 * found.sd**2
    assert found.sd**2 / 1000 < 0.01 * found.variance


def test_the_correction_holds_the_truth_where_independent_folds_would_not() -> None:
    """Of 200 studies of 40 normal videos, in ten splits each, whose folds are scored by the mean of 8 test videos."""
    held = {"corrected": 0, "independent": 0}
    for study in range(200):
        videos = normals(40, seed=study)
        orders = choice(hash64(Purpose.MADE_UP, study, np.arange(10)), 40)
        folds = videos[orders[:, :8]].mean(1)

        found = nadeau_bengio(folds, num_train=32, num_test=8)
        held["corrected"] += found.interval.low <= 0 <= found.interval.high
        half = 2.262 * found.sd / math.sqrt(10)
        held["independent"] += abs(found.mean) <= half
    assert held["corrected"] >= 185
    assert held["independent"] < 170


def test_one_fold_has_no_interval() -> None:
    found = nadeau_bengio(np.array([0.5]), num_train=8, num_test=2)
    assert found.mean == 0.5
    assert math.isnan(found.sd) and math.isnan(found.variance)
    assert found.interval.method == "none"
    assert found.interval.notes == ("one fold: no interval",)
