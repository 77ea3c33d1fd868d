"""Made-up videos of classes, with a row a second."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from surgstream.trainer.evaluation.metrics.metric import Metric
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo, Videos
from surgstream.trainer.evaluation.metrics.statistic import value_of

NUM_CLASSES = 4


def a_space(num_classes: int = NUM_CLASSES, *, null_classes: tuple[int, ...] = ()) -> LabelSpace:
    """Phases that follow one another: the one before may be late, the one after early."""
    numbers = range(num_classes)
    return LabelSpace(
        kind="class",
        classes=tuple(f"phase {number}" for number in numbers),
        late={number: (number - 1,) for number in numbers[1:]},
        early={number: (number + 1,) for number in numbers[:-1]},
        null_classes=null_classes,
    )


def a_video(truth: Sequence[int], predicted: Sequence[int], video: str = "a") -> ScoredVideo:
    """Its scores are 1 for what is predicted and 0 for all else."""
    return ScoredVideo(
        video=video,
        group=video,
        seconds=np.arange(len(truth), dtype=np.float64),
        truth=np.array(truth, np.int64),
        predicted=np.array(predicted, np.int64),
        scores=np.eye(NUM_CLASSES)[list(predicted)],
    )


def value(metric: Metric, videos: Videos, space: LabelSpace) -> float:
    return value_of(metric.compute(videos, space), len(videos))


labels = st.integers(0, NUM_CLASSES - 1)


@st.composite
def some_videos(draw: st.DrawFn, max_videos: int = 4, max_rows: int = 14) -> list[ScoredVideo]:
    """Videos of which many lack a class in truth, in prediction or in both; some have one row."""
    videos = []
    for number in range(draw(st.integers(1, max_videos))):
        rows = draw(st.lists(st.tuples(labels, labels), min_size=1, max_size=max_rows))
        truth, predicted = zip(*rows, strict=True)
        videos.append(a_video(truth, predicted, f"video {number}"))
    return videos
