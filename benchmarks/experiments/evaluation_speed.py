"""What metrics and their intervals cost: time and memory, on videos made up at the sizes of Cholec80 and CholecT50.

`python -m surgstream.benchmarks.experiments.evaluation_speed [--save FOLDER]` scores 40 videos of 2,200 seconds in 7
phases, and 50 videos of 2,000 seconds in 100 triplets, by every metric of their kind, each with the interval of 10,000
draws, or of as many as the metric takes.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surgstream.benchmarks.support.harness import conditions
from surgstream.benchmarks.support.memory import host_peak_mb
from surgstream.configs.columns import markdown
from surgstream.configs.files import write_atomically
from surgstream.shards.keyed_random import Purpose, hash64, uniform
from surgstream.trainer.evaluation.metrics.catalogue import METRICS
from surgstream.trainer.evaluation.metrics.metric import Metric
from surgstream.trainer.evaluation.metrics.samples import Floats, LabelSpace, ScoredVideo
from surgstream.trainer.evaluation.statistics.bootstrap import interval
from surgstream.trainer.evaluation.statistics.tests import normal_quantile
from surgstream.trainer.evaluation.statistics.units import units_of
from surgstream.trainer.evaluation.tasks.loading import find_task, label_space

NUM_TRIPLETS = 100
POSITIVE = 0.02
"""The share of seconds that show a triplet: two of 100 at a time."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """Made-up videos with predictions.

    Attributes:
        name: What they are like.
        labels: What labels there are.
        videos: The videos.
    """

    name: str
    labels: LabelSpace
    videos: tuple[ScoredVideo, ...]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a metric cost.

    Attributes:
        material: The videos.
        metric: Its id.
        num_draws: Draws of its interval.
        seconds: Of the metric itself, with what it prepares for draws.
        interval_seconds: Of its interval.
        peak_mb: Memory of both beyond the videos, in 10^6 bytes.
    """

    material: str
    metric: str
    num_draws: int
    seconds: float
    interval_seconds: float
    peak_mb: float


def phases(num_videos: int = 40, num_rows: int = 2200, num_classes: int = 7) -> Material:
    """Phases one after the other, of which one second in five is taken for any."""
    truth = np.arange(num_rows) * num_classes // num_rows
    labels = LabelSpace(
        kind="class",
        classes=tuple(f"phase{number}" for number in range(num_classes)),
        late={phase: (phase - 1,) for phase in range(1, num_classes)},
        early={phase: (phase + 1,) for phase in range(num_classes - 1)},
    )

    videos = []
    for number in range(num_videos):
        is_told = _noise(number, num_rows, 1) < 0.8
        noise = _noise(num_videos + number, num_rows, num_classes)
        scores = noise + is_told * np.eye(num_classes)[truth]
        videos.append(_video(number, truth, scores.argmax(1), scores))
    return Material(name="phases", labels=labels, videos=tuple(videos))


def triplets(num_videos: int = 50, num_rows: int = 2000) -> Material:
    """CholecT50's triplets, each a little more likely where it is true."""
    labels = label_space(find_task("cholect50_triplets"))

    videos = []
    for video in range(num_videos):
        truth = _noise(video, num_rows, NUM_TRIPLETS) < POSITIVE
        scores = _noise(num_videos + video, num_rows, NUM_TRIPLETS) + 0.5 * truth
        videos.append(_video(video, truth, None, scores))
    return Material(name="triplets", labels=labels, videos=tuple(videos))


def measure(metrics: Mapping[str, Metric], material: Material) -> Iterator[Measured]:
    """Compute every metric of the material's kind, and its interval."""
    for name, metric in metrics.items():
        if material.labels.kind in metric.kinds:
            yield _measure_one(name, metric, material)


def table(rows: Sequence[Measured]) -> str:
    """Lay out what each metric cost, and all of a material, as Markdown."""
    lines = [("videos", "metric", "draws", "s", "s of the interval", "peak MB")]
    for row in rows:
        line = (
            row.material,
            row.metric,
            f"{row.num_draws:,}",
            f"{row.seconds:.3f}",
            f"{row.interval_seconds:.3f}",
            f"{row.peak_mb:.0f}",
        )
        lines.append(line)

    for material in dict.fromkeys(row.material for row in rows):
        own = [row for row in rows if row.material == material]
        total = (
            material,
            "all",
            "",
            f"{sum(row.seconds for row in own):.3f}",
            f"{sum(row.interval_seconds for row in own):.3f}",
            f"{max(row.peak_mb for row in own):.0f}",
        )
        lines.append(total)
    return markdown(lines, left=2)


def main() -> int:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", type=Path, metavar="FOLDER")
    words = parser.parse_args()

    # Which imports SciPy, whose memory is no metric's
    normal_quantile(0.5)
    rows = [row for make in (phases, triplets) for row in measure(METRICS, make())]
    print(table(rows))

    if words.save:
        path = words.save / f"evaluation_speed_cpu_{time.strftime('%Y%m')}.json"
        tree = {**conditions(), "metrics": list(map(asdict, rows))}
        write_atomically(path, json.dumps(tree, indent=1))
    return 0


def _measure_one(name: str, metric: Metric, material: Material) -> Measured:
    groups = {video.video: video.group for video in material.videos}
    units = units_of(groups, material.name, version=1)
    times = [time.perf_counter()]
    intervals = []

    def score() -> None:
        statistic = metric.compute(material.videos, material.labels)
        times.append(time.perf_counter())
        intervals.append(interval(statistic, units))
        times.append(time.perf_counter())

    peak_mb = host_peak_mb(score)
    seconds, interval_seconds = np.diff(times).tolist()
    return Measured(
        material=material.name,
        metric=name,
        num_draws=intervals[0].num_draws,
        seconds=seconds,
        interval_seconds=interval_seconds,
        peak_mb=peak_mb,
    )


def _video(
    number: int, truth: npt.NDArray[Any], predicted: npt.NDArray[Any] | None, scores: Floats
) -> ScoredVideo:
    name = f"video{number:02}"
    return ScoredVideo(
        video=name,
        group=name,
        seconds=np.arange(len(truth), dtype=np.float64),
        truth=truth,
        predicted=predicted,
        scores=scores,
    )


def _noise(number: int, num_rows: int, num_columns: int) -> Floats:
    """Uniform numbers (n, columns), the same for the same number."""
    return uniform(hash64(Purpose.MADE_UP, number, np.arange(num_rows)), num_columns)


if __name__ == "__main__":
    sys.exit(main())
