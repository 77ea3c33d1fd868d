"""Made-up videos with phases, and models that see them more or less clearly."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo

CLASSES = ("preparation", "dissection", "clipping_cutting", "closure")
SPACE = LabelSpace(kind="class", classes=CLASSES)


def phases(seed: int, length: int) -> npt.NDArray[np.int64]:
    """All phases one after the other, each of some length."""
    ends = np.sort(np.random.default_rng(seed).uniform(0, 1, len(CLASSES) - 1))
    return np.searchsorted(ends, np.arange(length) / length)


def scores(truth: npt.NDArray[np.int64], errors: float, seed: int) -> npt.NDArray[np.float64]:
    """Logits that are right but for a share of rows."""
    draws = np.random.default_rng(seed)
    seen = np.where(draws.uniform(size=len(truth)) < errors, (truth + 1) % len(CLASSES), truth)
    noise = draws.normal(0, 0.3, (len(truth), len(CLASSES)))
    logits: npt.NDArray[np.float64] = 3 * np.eye(len(CLASSES))[seen] + noise
    return logits


def model(
    errors: float, *, num_videos: int = 14, seed: int = 0, groups: Sequence[str] = ()
) -> list[ScoredVideo]:
    """A model's predictions for some videos; the same videos whatever its errors and its seed."""
    videos = []
    for number in range(num_videos):
        truth = phases(number, 120 + 10 * number)
        logits = scores(truth, errors * (0.5 + number / num_videos), 1000 * seed + number)
        videos.append(
            ScoredVideo(
                video=f"video{number + 1:02}",
                group=groups[number % len(groups)] if groups else f"video{number + 1:02}",
                seconds=np.arange(float(len(truth))),
                truth=truth,
                predicted=logits.argmax(1),
                scores=logits,
            )
        )
    return videos


def constant(videos: Sequence[ScoredVideo], number: int) -> list[ScoredVideo]:
    """A model that always says the same class."""
    return [
        ScoredVideo(
            video=video.video,
            group=video.group,
            seconds=video.seconds,
            truth=video.truth,
            predicted=np.full(video.num_rows, number),
            scores=None,
        )
        for video in videos
    ]
