"""GPU-hours of evaluations: the page is what is counted, and the counts are those of arithmetic on paper."""

import pytest

from surgstream.benchmarks.experiments.gpu_hours import (
    PAGE,
    TASKS,
    feature_hours,
    page,
    probe_hours,
)
from surgstream.trainer.estimates import EVALUATION_TFLOPS

CHOLEC80 = TASKS[0]
# Multiply-adds on paper, of ViT-L with 1,568 tokens and of one attentive probe with three blocks and a query.
ENCODER = 595e9
HEAD = 78e9


def test_the_page_is_what_is_counted() -> None:
    assert page() == PAGE.read_text(), "run `python -m surgstream.benchmarks.experiments.gpu_hours`"


def test_features_are_one_forward_pass_a_row() -> None:
    num_rows = CHOLEC80.train + CHOLEC80.val + CHOLEC80.test
    expected = 2 * ENCODER * num_rows / (EVALUATION_TFLOPS * 1e12) / 3600
    assert feature_hours(CHOLEC80, "large") == pytest.approx(expected, rel=0.01)


def test_sixteen_probes_of_twenty_epochs() -> None:
    trained = 20 * 20_000 * (ENCODER + 3 * 16 * HEAD)
    validated = 20 * CHOLEC80.val * (ENCODER + 16 * HEAD)
    tested = CHOLEC80.test * (ENCODER + 17 * HEAD)
    expected = 2 * (trained + validated + tested) / (EVALUATION_TFLOPS * 1e12) / 3600
    assert probe_hours(CHOLEC80, "probe_unisurg", "large") == pytest.approx(expected, rel=0.02)
