"""Predictions of a model for the videos of a task, in memory and as an `.npz` file.

The file has these arrays, and no Python objects:

- `videos` (V,), the ids of the videos;
- `video` (n,), for each row the number of its video in `videos`;
- `second` (n,), the time of the row in its video;
- `classes` (C,), the names of the classes, empty for numbers;
- `scores` (n, C), or `predicted` (n,): numbers of classes, or values;
- `about`, a text of JSON: what made them.
"""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surgstream.configs.files import open_regular, write_atomically
from surgstream.trainer.errors import EvaluationError

Floats = npt.NDArray[np.float64]

_ARRAYS = ("videos", "video", "second", "classes")
_TEXTS = ("videos", "classes")
_NUMBERS = ("video", "second", "scores", "predicted")

# What NumPy, zipfile and json raise depends on which byte is damaged.
_DAMAGE = (
    ValueError, TypeError, KeyError, EOFError, OSError, RuntimeError, MemoryError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip

_TOLD = 200
"""Characters of what they say: zipfile quotes whatever stands where a name should, up to 64 KiB of it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PredictedVideo:
    """What was predicted for a video.

    Attributes:
        seconds: (n,), the time of each row, increasing; of a video as a whole one row at 0.
        scores: (n, C), higher is more likely; None where labels alone are there, and of numbers.
        predicted: (n,), numbers of classes or values; None where there are scores.
    """

    seconds: Floats
    scores: Floats | None = None
    predicted: npt.NDArray[Any] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Predictions:
    """The predictions of a model.

    Attributes:
        where: The file, for messages.
        sha256: The SHA-256 of the file.
        classes: The names of the classes, in the order of scores; empty for numbers.
        videos: What was predicted, by video.
        about: What made them, as their maker tells it.
    """

    where: str
    sha256: str = ""
    classes: tuple[str, ...]
    videos: Mapping[str, PredictedVideo]
    about: Mapping[str, Any] = field(default_factory=dict)


def together(parts: Sequence[Predictions]) -> Predictions:
    """Predictions of several files as one: of folds, each of which tests other videos.

    Raises:
        EvaluationError: A video is in two of them, or their classes differ.
    """
    first = parts[0]
    videos: dict[str, PredictedVideo] = {}
    for part in parts:
        if part.classes != first.classes:
            raise EvaluationError(
                f"{part.where}: expected the classes of {first.where}, got others: predictions of one "
                "model must be of one task"
            )
        if twice := videos.keys() & part.videos.keys():
            raise EvaluationError(
                f"{part.where}: expected other videos than those of the files before it, got "
                f"{min(twice)} again"
            )
        videos |= part.videos
    return replace(first, videos=videos)


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write predictions whole or not at all; scores as float32, since the three digits of float16 tie what ranks apart.

    Raises:
        OSError: The file could not be written.
    """
    write_arrays(path, arrays_of(predictions))


def arrays_of(predictions: Predictions) -> dict[str, npt.NDArray[Any]]:
    """The arrays of the file of predictions, whose rows are in the order of the videos' ids."""
    names = sorted(predictions.videos)
    videos = [predictions.videos[name] for name in names]
    arrays: dict[str, Any] = {
        "videos": np.array(names, np.str_),
        "video": np.repeat(np.arange(len(videos)), [len(video.seconds) for video in videos]),
        "second": np.concatenate([video.seconds for video in videos]),
        "classes": np.array(predictions.classes, np.str_),
        "about": np.array(json.dumps(dict(predictions.about))),
    }

    scores = [video.scores for video in videos if video.scores is not None]
    predicted = [video.predicted for video in videos if video.predicted is not None]
    if scores:
        arrays["scores"] = np.concatenate(scores).astype(np.float32)
    else:
        arrays["predicted"] = np.concatenate(predicted)
    return arrays


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write an .npz file whole or not at all.

    Raises:
        OSError: The file could not be written.
    """
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    write_atomically(path, content.getvalue())


def read_predictions(path: Path) -> Predictions:
    """Read what `write_predictions` wrote.

    Raises:
        EvaluationError: It is no such file, or its arrays do not fit each other.
        OSError: It cannot be read.
    """
    return predictions_of(path, *read_arrays(path))


def read_arrays(path: Path) -> tuple[dict[str, npt.NDArray[Any]], str]:
    """Read an .npz file: its arrays by name, and the SHA-256 of the file.

    Raises:
        EvaluationError: It is no such file.
        OSError: It cannot be read.
    """
    with open_regular(path) as file:
        content = file.read()
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except _DAMAGE as error:
        raise EvaluationError(
            f"{path}: expected an .npz file of predictions, got: {str(error)[:_TOLD]}"
        ) from None
    return arrays, hashlib.sha256(content).hexdigest()


def predictions_of(path: Path, arrays: Mapping[str, npt.NDArray[Any]], sha256: str) -> Predictions:
    """The predictions that the arrays of a file hold.

    Raises:
        EvaluationError: The arrays do not fit each other.
    """
    try:
        about = json.loads(str(arrays.get("about", "{}")))
    except _DAMAGE as error:
        raise EvaluationError(
            f"{path}: expected an .npz file of predictions, got: {error}"
        ) from None

    _check(path, arrays)
    return Predictions(
        where=str(path),
        sha256=sha256,
        classes=tuple(map(str, arrays["classes"])),
        videos=_by_video(path, arrays),
        about=about if isinstance(about, dict) else {},
    )


def _check(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    missing = [name for name in _ARRAYS if name not in arrays]
    if missing or not {"scores", "predicted"} & arrays.keys():
        names = ", ".join([*_ARRAYS, "and scores or predicted"])
        raise EvaluationError(f"{path}: expected the arrays {names}; got {', '.join(arrays)}")

    _check_types(path, arrays)
    num_rows = arrays["second"].size
    num_classes = arrays["classes"].size
    shapes: dict[str, tuple[int, ...]] = {
        **{name: (arrays[name].size,) for name in ("second", *_TEXTS)},
        **dict.fromkeys(("video", "predicted"), (num_rows,)),
        "scores": (num_rows, num_classes),
    }
    for name, shape in shapes.items():
        if name in arrays and arrays[name].shape != shape:
            raise EvaluationError(
                f"{path}: {name}: expected the shape {shape}, got {arrays[name].shape}"
            )

    for name in _TEXTS:
        if len({*arrays[name].tolist()}) < arrays[name].size:
            raise EvaluationError(f"{path}: {name}: expected each name once, got one twice")
    numbers = arrays["video"]
    if numbers.dtype.kind not in "iu" or np.any((numbers < 0) | (numbers >= len(arrays["videos"]))):
        raise EvaluationError(f"{path}: video: expected numbers of `videos`, got others")


def _check_types(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Make sure that names are text and all else numbers; an empty array may be of any type."""
    kinds = {name: ("text", "U") for name in _TEXTS} | {
        name: ("real numbers", "iuf") for name in _NUMBERS
    }
    for name, (what, kind) in kinds.items():
        if name in arrays and arrays[name].size and arrays[name].dtype.kind not in kind:
            raise EvaluationError(
                f"{path}: {name}: expected {what}, got the type {arrays[name].dtype}"
            )


def _by_video(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, PredictedVideo]:
    """Part the rows by video, in the order of time; a video without rows is none."""
    found = {}
    for number, name in enumerate(map(str, arrays["videos"])):
        rows = np.flatnonzero(arrays["video"] == number)
        if not rows.size:
            continue
        rows = rows[np.argsort(arrays["second"][rows], kind="stable")]
        scores = arrays["scores"][rows].astype(np.float64) if "scores" in arrays else None
        predicted = arrays["predicted"][rows] if "predicted" in arrays else None
        video = PredictedVideo(
            seconds=arrays["second"][rows].astype(np.float64),
            scores=scores,
            predicted=None if scores is not None else predicted,
        )
        check_video(video, f"{path}: {name}", num_classes=len(arrays["classes"]))
        found[name] = video
    return found


def check_video(video: PredictedVideo, where: str, num_classes: int) -> None:
    """Make sure that rows are in the order of time, each once, and that all is finite.

    Args:
        video: The video; its rows are in the order of time.
        where: The file and the video, for messages.
        num_classes: The number of classes; 0 for numbers.

    Raises:
        EvaluationError: It is not so; the first row is named.
    """
    if not np.isfinite(video.seconds).all():
        raise EvaluationError(f"{where}: expected a time in each row, got NaN or infinity")
    (twice,) = np.nonzero(np.diff(video.seconds) <= 0)
    if twice.size:
        second = video.seconds[twice[0]]
        raise EvaluationError(f"{where}: expected each second once, got {second:g} twice")

    values = video.scores if video.scores is not None else video.predicted
    assert values is not None
    finite = np.isfinite(values).reshape(len(values), -1).all(1)
    if not finite.all():
        second = video.seconds[np.flatnonzero(~finite)[0]]
        raise EvaluationError(
            f"{where}: expected finite numbers, got NaN or infinity at second {second:g}"
        )
    if not num_classes or video.predicted is None:
        return
    if values.dtype.kind not in "iu" or np.any((values < 0) | (values >= num_classes)):
        raise EvaluationError(f"{where}: expected numbers of {num_classes} classes, got others")
