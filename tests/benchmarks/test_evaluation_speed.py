"""The videos that metrics are timed on, and that each metric of their kind is."""

from dataclasses import replace

import numpy as np
import pytest

from surgstream.benchmarks.experiments.evaluation_speed import (
    Material,
    measure,
    phases,
    table,
    triplets,
)
from surgstream.trainer.evaluation.metrics.metric import Metric
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, Videos
from surgstream.trainer.evaluation.metrics.statistic import (
    Floats,
    Statistic,
    mean_of_means,
    pooled,
)


def confusion(videos: Videos, labels: LabelSpace) -> Floats:
    """(V, C, C): how often a class is predicted as each."""
    num_classes = len(labels.classes)
    found = np.zeros((len(videos), num_classes, num_classes))
    for counts, video in zip(found, videos, strict=True):
        assert video.predicted is not None
        np.add.at(counts, (video.truth, video.predicted), 1)
    return found


def accuracy(videos: Videos, labels: LabelSpace) -> Statistic:
    def formula(counts: Floats) -> Floats:
        right: Floats = np.trace(counts, axis1=-2, axis2=-1)
        share: Floats = right / counts.sum((-2, -1))
        return share

    return pooled(confusion(videos, labels), formula, averaged="frames")


def recall(videos: Videos, labels: LabelSpace) -> Statistic:
    counts = confusion(videos, labels)
    right = np.diagonal(counts, axis1=1, axis2=2)
    return mean_of_means(right / counts.sum(2), averaged="phases", num_draws_at_most=300)


def positives(videos: Videos, labels: LabelSpace) -> Statistic:
    """The share of seconds that show a triplet."""
    shares = np.stack([video.truth.mean(0) for video in videos])
    return mean_of_means(shares, averaged="triplets")


METRICS = {
    "accuracy": Metric(title="Accuracy", kinds=("class",), compute=accuracy),
    "recall": Metric(title="Recall", kinds=("class",), compute=recall),
    "positives": Metric(title="Positives", kinds=("multilabel",), compute=positives),
}
SMALL = phases(num_videos=4, num_rows=70)
FEW_TRIPLETS = triplets(num_videos=2, num_rows=200)


def test_each_metric_of_the_kind_is_measured_once_with_its_draws() -> None:
    found = [*measure(METRICS, SMALL), *measure(METRICS, FEW_TRIPLETS)]
    assert [(row.material, row.metric, row.num_draws) for row in found] == [
        ("phases", "accuracy", 10_000),
        ("phases", "recall", 300),
        ("triplets", "positives", 10_000),
    ]
    assert all(row.seconds > 0 and row.interval_seconds > 0 for row in found)

    lines = table([replace(row, seconds=1.0) for row in found]).splitlines()
    assert len(lines) == 2 + 3 + 2
    assert lines[-2].startswith("| phases | all |  | 2.000 |")


@pytest.mark.parametrize(("material", "num_classes"), [(SMALL, 7), (FEW_TRIPLETS, 100)])
def test_videos_differ_and_have_all_classes(material: Material, num_classes: int) -> None:
    assert len(material.labels.classes) == num_classes
    first, second, *_ = (np.asarray(video.scores) for video in material.videos)
    assert not np.array_equal(first, second)
    assert first.shape == second.shape == (material.videos[0].num_rows, num_classes)


def test_predicted_phases_are_mostly_right() -> None:
    right = np.concatenate([video.predicted == video.truth for video in SMALL.videos])
    assert 0.75 < right.mean() < 0.95


def test_one_second_in_fifty_shows_a_triplet() -> None:
    truth = np.concatenate([video.truth for video in FEW_TRIPLETS.videos])
    assert truth.mean() == pytest.approx(0.02, abs=0.002)
