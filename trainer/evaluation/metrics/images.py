"""Metrics of pictures: means over all images of what each scored, drawn by videos."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from surgstream.trainer.errors import MetricError
from surgstream.trainer.evaluation.metrics.dense.pictures import MEDIAN_SCALED
from surgstream.trainer.evaluation.metrics.metric import Metric
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo, TaskKind, Videos
from surgstream.trainer.evaluation.metrics.statistic import (
    Floats,
    Statistic,
    nan_mean,
    pooled,
    zero_to_nan,
)


def mean_over_images(name: str) -> Callable[[Videos, LabelSpace], Statistic]:
    """The mean over all images, whatever their videos; where each class has its own, the mean over classes of these.

    Args:
        name: The metric, as `ScoredVideo.images` has it.

    Returns:
        Computes it.
    """

    def compute(videos: Videos, space: LabelSpace) -> Statistic:
        tables = [_values(video, name, space) for video in videos]
        defined = [np.isfinite(table) for table in tables]
        sums = [
            np.where(known, table, 0.0).sum(0) for table, known in zip(tables, defined, strict=True)
        ]
        counts = [known.sum(0) for known in defined]
        # (V, C, 2): of each video and class the sum over its images, and how many they are
        totals = np.stack([np.array(sums), np.array(counts, np.float64)], axis=-1)

        by_class = _means(totals.sum(0))
        classes = space.classes if totals.shape[1] > 1 else ()
        return pooled(
            totals,
            lambda drawn: nan_mean(_means(drawn)),
            per_class=dict(zip(classes, by_class.tolist(), strict=False)),
            averaged=_averaged(videos, by_class, classes),
            undefined=_undefined(totals, by_class, classes, sum(map(len, tables))),
        )

    return compute


def _values(video: ScoredVideo, name: str, space: LabelSpace) -> Floats:
    """What each image of a video scored, (n, C)."""
    if name not in video.images:
        few = "one class" if len(space.classes) == 1 else "several classes"
        raise MetricError(
            f"{name}: expected a metric of {space.kind}s with {few}, as the task has them, got another; "
            f"choose among {', '.join(video.images)}"
        )
    return video.images[name].reshape(video.num_rows, -1)


def _means(totals: Floats) -> Floats:
    """From sums and counts (..., 2) to means (...); NaN where there is nothing."""
    means: Floats = totals[..., 0] / zero_to_nan(totals[..., 1])
    return means


def _averaged(videos: Videos, by_class: Floats, classes: tuple[str, ...]) -> str:
    num_images = sum(video.num_rows for video in videos)
    of_classes = f"{np.isfinite(by_class).sum()} classes over " if classes else ""
    return f"{of_classes}{num_images} images of {len(videos)} videos"


def _undefined(
    totals: npt.NDArray[np.float64], by_class: Floats, classes: tuple[str, ...], num_images: int
) -> tuple[str, ...]:
    if classes:
        lacking = [
            name for name, value in zip(classes, by_class, strict=True) if not np.isfinite(value)
        ]
        return tuple(f"class {name}: in no image" for name in lacking)

    left_out = num_images - int(totals[..., 1].sum())
    return (f"{left_out} images, where nothing is known",) if left_out else ()


def _metric(
    name: str, kind: TaskKind, title: str, *, percent: bool = True, more: bool = True
) -> Metric:
    return Metric(
        title=title,
        kinds=(kind,),
        percent=percent,
        higher_is_better=more,
        compute=mean_over_images(name),
    )


METRICS: dict[str, Metric] = {
    "dice": _metric("dice", "mask", "Dice at 0.5, mean of images"),
    "iou": _metric("iou", "mask", "Intersection over union at 0.5, mean of images"),
    "mask_mae": _metric(
        "mask_mae",
        "mask",
        "Mean absolute error of probabilities, mean of images",
        percent=False,
        more=False,
    ),
    "mean_dice": _metric(
        "mean_dice", "mask", "Dice over 256 thresholds of stretched maps, mean of images"
    ),
    "s_measure": _metric("s_measure", "mask", "Structure measure, mean of images"),
    "class_dice": _metric("class_dice", "mask", "Dice, classes over images that have them"),
    "class_iou": _metric(
        "class_iou", "mask", "Intersection over union, classes over images that have them"
    ),
    "pixel_accuracy": _metric("pixel_accuracy", "mask", "Share of right pixels, mean of images"),
}

_OF_DEPTH = {
    "depth_rmse": ("Root mean squared error in mm", False, False),
    "depth_abs_rel": ("Mean relative error", False, False),
    "depth_sq_rel": ("Mean squared relative error in mm", False, False),
    "depth_delta_1.1": ("Share of pixels within a factor of 1.1", True, True),
}
for _name, (_title, _percent, _more) in _OF_DEPTH.items():
    METRICS[_name] = _metric(
        _name, "depth", f"{_title}, mean of frames", percent=_percent, more=_more
    )
    METRICS[f"{_name}{MEDIAN_SCALED}"] = _metric(
        f"{_name}{MEDIAN_SCALED}",
        "depth",
        f"{_title}, of depth scaled to each frame's true median, mean of frames",
        percent=_percent,
        more=_more,
    )
