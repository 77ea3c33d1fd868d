"""Predictions that need no encoder: what a number must beat before it means anything.

- `constant`: the class that most training rows have; of several classes a row, how often each occurs; of numbers the
  median.
- `time alone`: the same, of training rows at the same share of their video. It sees the video's end, as no online
  method does.
- `chance`: rows drawn from the training rows; without training labels, every class is as likely.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from surgstream.shards.keyed_random import Purpose, hash64, hash_text, uniform
from surgstream.shards.labels.timeline import TrueRows
from surgstream.trainer.evaluation.metrics.samples import Floats, LabelSpace, ScoredVideo

CONSTANT = "constant"
"""The name of the yardstick that always predicts the same."""

NUM_BINS = 100
"""Equal parts of a video, for `time alone`."""

Rows = npt.NDArray[Any]


def yardsticks(
    train: Sequence[TrueRows] | None, test: Mapping[str, ScoredVideo], space: LabelSpace
) -> dict[str, list[ScoredVideo]]:
    """Make the predictions of all yardsticks for some videos.

    Args:
        train: The labelled rows of the training videos; None where they are not at hand.
        test: The videos to predict, by id; what was predicted for them is not looked at.
        space: What labels there are.

    Returns:
        The predicted videos by the yardstick's name. Without training labels there is `chance` alone, and that not of
        numbers.
    """
    if train is None:
        if space.kind == "number":
            return {}
        drawn = [_replace(video, _even_chance(video, space), space) for video in test.values()]
        return {"chance, all classes alike": drawn}

    truth = np.concatenate([rows.truth for rows in train])
    makers: dict[str, Callable[[ScoredVideo], Rows]] = {
        CONSTANT: lambda video: np.repeat(summary(truth, space)[None], video.num_rows, 0),
        "chance": lambda video: truth[_draws(video, len(truth))],
    }
    if any(video.num_rows > 1 for video in test.values()):
        bins = _bins(train, truth, space)
        makers["time alone"] = lambda video: bins[_bin_of(video.seconds)]
    return {
        name: [_replace(video, make(video), space) for video in test.values()]
        for name, make in makers.items()
    }


def summary(truth: Rows, space: LabelSpace) -> Rows:
    """The best constant for some rows: their most frequent class, the share of each class, or their median."""
    if space.kind == "class":
        return np.asarray(np.bincount(truth, minlength=len(space.classes)).argmax())
    if space.kind == "multilabel":
        return np.asarray(truth.mean(0))
    return np.asarray(np.median(truth))


def _bins(train: Sequence[TrueRows], truth: Rows, space: LabelSpace) -> Rows:
    """The best constant for the rows in each equal part of the training videos: (NUM_BINS, ...)."""
    places = np.concatenate([_bin_of(rows.seconds) for rows in train])
    found = []
    for number in range(NUM_BINS):
        # Short videos have no row in some parts; neighbours stand in.
        distance = np.abs(places - number)
        found.append(summary(truth[distance == distance.min()], space))
    return np.array(found)


def _bin_of(seconds: Floats) -> npt.NDArray[np.int64]:
    """The part of its video that each row is in."""
    share = seconds / max(float(seconds[-1]), 1e-9)
    return np.minimum(share * NUM_BINS, NUM_BINS - 1).astype(np.int64)


def _draws(video: ScoredVideo, count: int) -> npt.NDArray[np.int64]:
    """For each row of a video a random number below `count`, always the same ones."""
    key = hash64(Purpose.MADE_UP, hash_text(video.video))
    return (uniform(key, video.num_rows) * count).astype(np.int64)


def _even_chance(video: ScoredVideo, space: LabelSpace) -> Rows:
    num_classes = len(space.classes)
    if space.kind == "class":
        return _draws(video, num_classes)
    key = hash64(Purpose.MADE_UP, hash_text(video.video))
    return uniform(key, video.num_rows * num_classes).reshape(-1, num_classes)


def _replace(video: ScoredVideo, rows: Rows, space: LabelSpace) -> ScoredVideo:
    """The video with other predictions."""
    several = space.kind == "multilabel"
    return ScoredVideo(
        video=video.video,
        group=video.group,
        seconds=video.seconds,
        truth=video.truth,
        predicted=None if several else rows,
        scores=rows.astype(np.float64) if several else None,
    )


def is_constant(videos: Sequence[ScoredVideo]) -> bool:
    """Whether the same was predicted for every row of all videos; pictures are not looked at."""
    if any(video.images for video in videos):
        return False
    rows = [video.scores if video.predicted is None else video.predicted for video in videos]
    values = np.concatenate([row for row in rows if row is not None])
    return bool((values == values[:1]).all())
