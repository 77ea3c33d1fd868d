"""Stored predictions of pictures: an .npz file of predictions, with a PNG for each row.

Its rows are those of `predictions.stored`; beside them it has

- `predicted`, (n,): 0 to n - 1, the number of each row's picture;
- `sizes`, (n, 2): width and height of each picture, those of the frame;
- `lengths`, (n,): bytes of each PNG;
- `pngs`: all of them, one after the other.

A picture of one class has 8 bits a pixel, the probability times 255; one of several 8, the number of the class, or 0;
one of depth 16, hundredths of a millimetre.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surgstream.shards.format.layers import STEPS_PER_MILLIMETRE
from surgstream.shards.format.png import Picture, from_png
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.metrics.samples import LabelSpace
from surgstream.trainer.evaluation.predictions.stored import (
    PredictedVideo,
    Predictions,
    arrays_of,
    predictions_of,
    read_arrays,
    write_arrays,
)

Map = npt.NDArray[Any]

MAX_SIDE = 2**14
"""The most pixels of a side: a file may ask for any amount of memory."""

_FARTHEST = 2**16 - 1


@dataclass(frozen=True, eq=False, kw_only=True)
class PredictedMaps:
    """The predicted pictures of a model.

    Attributes:
        predictions: Their videos and times; `predicted` of a row is the number of its picture.
        sizes: Width and height of each picture.
        pngs: The PNG of each.
    """

    predictions: Predictions
    sizes: Sequence[tuple[int, int]]
    pngs: Sequence[bytes]

    def read(self, number: int, space: LabelSpace) -> Map:
        """Decode a picture, as metrics take it; see `from_picture`.

        Raises:
            EvaluationError: It is damaged.
        """
        bits = 16 if space.kind == "depth" else 8
        try:
            picture = from_png(self.pngs[number], self.sizes[number], bits)
        except ValueError as error:
            raise EvaluationError(
                f"{self.predictions.where}: picture {number}: {error}; predict it again"
            ) from None
        if len(space.classes) > 1 and picture.max() > len(space.classes):
            raise EvaluationError(
                f"{self.predictions.where}: picture {number}: expected classes up to "
                f"{len(space.classes)}, got {picture.max()}; are these predictions of another task?"
            )
        return from_picture(picture, space)


def to_picture(predicted: Map, space: LabelSpace) -> Picture:
    """What is stored of a prediction, (H, W); see `from_picture`, whose inverse it is up to rounding."""
    if space.kind == "depth":
        steps = np.rint(predicted.astype(np.float64) * STEPS_PER_MILLIMETRE)
        depth: Picture = steps.clip(0, _FARTHEST).astype(np.uint16)
        return depth
    if len(space.classes) > 1:
        classes: Picture = predicted.astype(np.uint8)
        return classes
    mask: Picture = np.rint(predicted.astype(np.float64).clip(0, 1) * 255).astype(np.uint8)
    return mask


def from_picture(picture: Picture, space: LabelSpace) -> Map:
    """What a stored picture says, (H, W): a probability, the number of a class, or millimetres."""
    if space.kind == "depth":
        return picture / STEPS_PER_MILLIMETRE
    if len(space.classes) > 1:
        return picture
    return picture / 255


def pack_maps(
    videos: Mapping[
        str, tuple[npt.NDArray[np.float64], Sequence[bytes], Sequence[tuple[int, int]]]
    ],
    space: LabelSpace,
    where: str,
) -> PredictedMaps:
    """Put the predicted pictures of videos together.

    Args:
        videos: By video the n seconds of its rows, growing, the PNG of each, and width and height of each.
        space: What labels there are.
        where: What they are, for messages.
    """
    found = {}
    pngs: list[bytes] = []
    sizes: list[tuple[int, int]] = []
    for video in sorted(videos):
        seconds, of_video, their_sizes = videos[video]
        numbers = np.arange(len(pngs), len(pngs) + len(of_video))
        found[video] = PredictedVideo(seconds=seconds, predicted=numbers)
        pngs += of_video
        sizes += their_sizes
    predictions = Predictions(where=where, classes=space.classes, videos=found)
    return PredictedMaps(predictions=predictions, sizes=sizes, pngs=pngs)


def write_maps(path: Path, maps: PredictedMaps) -> None:
    """Write predicted pictures whole or not at all.

    Raises:
        OSError: The file could not be written.
    """
    arrays = arrays_of(maps.predictions)
    # Rows are those of the file, whatever the order of the pictures was
    order = arrays["predicted"].tolist()
    pngs = [maps.pngs[number] for number in order]
    arrays |= {
        "predicted": np.arange(len(order)),
        "sizes": np.array([maps.sizes[number] for number in order], np.int64),
        "lengths": np.array([len(png) for png in pngs], np.int64),
        "pngs": np.frombuffer(b"".join(pngs), np.uint8),
    }
    write_arrays(path, arrays)


def read_maps(path: Path) -> PredictedMaps:
    """Read what `write_maps` wrote; pictures are decoded when they are needed.

    Raises:
        EvaluationError: It is no such file, or its arrays do not fit each other.
        OSError: It cannot be read.
    """
    arrays, sha256 = read_arrays(path)
    # With classes, `predicted` would be their numbers
    classes = arrays.get("classes", np.empty(0, np.str_))
    predictions = predictions_of(path, {**arrays, "classes": classes[:0]}, sha256)
    predictions = replace(predictions, classes=tuple(map(str, classes)))
    if lacking := [name for name in ("sizes", "lengths", "pngs") if name not in arrays]:
        raise EvaluationError(
            f"{path}: expected predicted pictures, got a file without {lacking[0]}; are these "
            "predictions of another task?"
        )

    _check(path, arrays)
    ends = np.cumsum(arrays["lengths"]).tolist()
    content = arrays["pngs"].tobytes()
    starts = [0, *ends[:-1]]
    return PredictedMaps(
        predictions=predictions,
        sizes=[(int(width), int(height)) for width, height in arrays["sizes"]],
        pngs=[content[start:end] for start, end in zip(starts, ends, strict=True)],
    )


def _check(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    num_rows = arrays["second"].size
    numbers = arrays.get("predicted", np.empty(0))
    if not np.array_equal(np.sort(numbers), np.arange(num_rows)):
        raise EvaluationError(f"{path}: predicted: expected each picture once, got others")

    shapes = {"sizes": (num_rows, 2), "lengths": (num_rows,)}
    for name, shape in shapes.items():
        found = arrays[name]
        if found.shape != shape or found.dtype.kind not in "iu" or (found < 1).any():
            raise EvaluationError(
                f"{path}: {name}: expected whole numbers from 1 of the shape {shape}, got "
                f"{found.dtype} {found.shape}"
            )
    if (arrays["sizes"] > MAX_SIDE).any():
        raise EvaluationError(
            f"{path}: sizes: expected at most {MAX_SIDE} pixels a side, got {arrays['sizes'].max()}"
        )

    pngs = arrays["pngs"]
    total = int(arrays["lengths"].astype(object).sum()) if num_rows else 0
    if pngs.dtype != np.uint8 or pngs.ndim != 1 or pngs.size != total:
        raise EvaluationError(
            f"{path}: pngs: expected {total} bytes, as `lengths` says, got {pngs.dtype} {pngs.shape}"
        )


def together(parts: Sequence[PredictedMaps], predictions: Predictions) -> PredictedMaps:
    """Predicted pictures of several files as one.

    Args:
        parts: The files.
        predictions: Their predictions together, as `stored.together` makes them of `numbered(parts)`.
    """
    return PredictedMaps(
        predictions=predictions,
        sizes=[size for part in parts for size in part.sizes],
        pngs=[png for part in parts for png in part.pngs],
    )


def numbered(parts: Sequence[PredictedMaps]) -> list[Predictions]:
    """The predictions of several files, whose pictures are numbered through."""
    found = []
    before = 0
    for part in parts:
        videos = {
            video: replace(each, predicted=before + _numbers(each))
            for video, each in part.predictions.videos.items()
        }
        found.append(replace(part.predictions, videos=videos))
        before += len(part.pngs)
    return found


def _numbers(video: PredictedVideo) -> npt.NDArray[np.int64]:
    assert video.predicted is not None
    return video.predicted
