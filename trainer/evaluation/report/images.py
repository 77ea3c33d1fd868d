"""Predicted pictures over their frames: the worst, the middle and the best by the main metric, drawn into the page."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo
from surgstream.trainer.evaluation.metrics.statistic import Floats, nan_mean
from surgstream.trainer.evaluation.report.ribbons import colour

if TYPE_CHECKING:
    from PIL import Image

NUM_EACH = 2
"""Images of each of worst, middle and best."""

WIDTH = 260
"""The most pixels across that a picture is drawn with."""

Picture = npt.NDArray[Any]

_OPACITY = 0.55
_NEAR_TO_FAR = (
    (0xFD, 0xE7, 0x25),
    (0x5E, 0xC9, 0x62),
    (0x21, 0x91, 0x8C),
    (0x3B, 0x52, 0x8B),
    (0x44, 0x01, 0x54),
)
_UNKNOWN = 24
_OUTLINE = (255, 255, 255)


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """An image to show.

    Attributes:
        why: `worst`, `middle` or `best`.
        video: The id of its video.
        second: When it is shown there.
        frame: Its frame, RGB.
        truth: What is true, as `DenseTruth.read` gives it.
        predicted: What each model predicted, and its value of the main metric in words, by the model's name.
    """

    why: str
    video: str
    second: float
    frame: "Image.Image"
    truth: Picture
    predicted: Mapping[str, tuple[Picture, str]]


def choose_images(
    videos: Sequence[ScoredVideo], metric: str, *, higher_is_better: bool
) -> list[tuple[str, int, int]]:
    """Choose the images to show by what a model scored.

    Images that are quite right are passed over where there are others: they are mostly those with nothing in them.

    Args:
        videos: The model's.
        metric: The main metric.
        higher_is_better: Its direction.

    Returns:
        Why it is shown, the number of the video, and the row there, from the worst on; each image once.
    """
    places = [(number, row) for number, video in enumerate(videos) for row in range(video.num_rows)]
    values = np.concatenate([_of_images(video, metric) for video in videos])
    goodness = values if higher_is_better else -values

    known = np.flatnonzero(np.isfinite(values))
    perfect = 1.0 if higher_is_better else 0.0
    flawed = known[values[known] != perfect]
    kept = flawed if len(flawed) >= 3 * NUM_EACH else known
    order = kept[np.argsort(goodness[kept], kind="stable")].tolist()

    middle = max(0, len(order) // 2 - NUM_EACH // 2)
    wanted = {
        "worst": order[:NUM_EACH],
        "middle": order[middle : middle + NUM_EACH],
        "best": order[-NUM_EACH:],
    }
    found: dict[int, str] = {}
    for why, numbers in wanted.items():
        for number in numbers:
            found.setdefault(number, why)
    return [(why, *places[number]) for number, why in found.items()]


def _of_images(video: ScoredVideo, metric: str) -> Floats:
    return nan_mean(video.images[metric].reshape(video.num_rows, -1))


def draw_images(images: Sequence[Shown], space: LabelSpace) -> str:
    """Draw images as HTML, a line each, with PNGs in it."""
    draw = _draw_depth if space.kind == "depth" else _draw_masks
    said = (
        "Distances of a line have one scale of colours, from near, which is bright, to far; what is not known is dark."
        if space.kind == "depth"
        else "Outlined in white is what is true, in colour what was predicted."
    )
    key = _legend(images, space)
    lines = "".join(draw(image, space) for image in images)
    return f"<h2>Pictures</h2>\n<p class=soft>{said}</p>\n{key}{lines}"


def _draw_masks(image: Shown, space: LabelSpace) -> str:
    frame = np.asarray(image.frame).astype(np.float64)
    truth = image.truth.astype(np.int64)
    cells = [_figure(_outlined(frame, truth), "truth")]
    for name, (predicted, value) in image.predicted.items():
        numbers = predicted if len(space.classes) > 1 else predicted > 0.5
        coloured = _filled(frame, numbers.astype(np.int64))
        cells.append(_figure(_outlined(coloured, truth), f"{name}: {value}"))
    return _line(image, cells, "")


def _draw_depth(image: Shown, space: LabelSpace) -> str:
    del space
    known = image.truth[image.truth > 0]
    near, far = (float(end) for end in np.percentile(known, (1, 99))) if known.size else (0.0, 1.0)
    cells = [
        _figure(np.asarray(image.frame), "frame"),
        _figure(_depth_colours(image.truth, near, far), "truth"),
    ]
    for name, (predicted, value) in image.predicted.items():
        cells.append(_figure(_depth_colours(predicted, near, far), f"{name}: {value}"))
    return _line(image, cells, f", {near:.0f} to {far:.0f} mm")


def _line(image: Shown, cells: Sequence[str], more: str) -> str:
    title = f"{escape(image.video)} <small>second {image.second:g}, {image.why}{more}</small>"
    return f'<h3>{title}</h3>\n<div class="pictures">{"".join(cells)}</div>\n'


def _figure(pixels: Picture, text: str) -> str:
    # Login nodes, which score classes and numbers, need not have it.
    from PIL import Image

    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    if image.width > WIDTH:
        image = image.resize((WIDTH, max(1, round(image.height * WIDTH / image.width))))
    content = io.BytesIO()
    image.save(content, "PNG")
    data = base64.b64encode(content.getvalue()).decode()
    caption = escape(text)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _filled(frame: Floats, numbers: npt.NDArray[np.int64]) -> Floats:
    """A frame with pixels of classes in their colours."""
    filled = frame.copy()
    for number in np.unique(numbers[numbers > 0]).tolist():
        there = numbers == number
        filled[there] = (1 - _OPACITY) * frame[there] + _OPACITY * np.array(_rgb(number))
    return filled


def _outlined(frame: Floats, numbers: npt.NDArray[np.int64]) -> Floats:
    """A frame with the inner edges of classes in white."""
    padded = np.pad(numbers, 1, mode="edge")
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    differs = np.any([neighbour != numbers for neighbour in neighbours], axis=0)
    outlined = frame.copy()
    outlined[differs & (numbers > 0)] = _OUTLINE
    return outlined


def _depth_colours(depth: Floats, near: float, far: float) -> Floats:
    share = (depth - near) / max(far - near, 1e-9)
    places = np.linspace(0, 1, len(_NEAR_TO_FAR))
    channels = [np.interp(share, places, channel) for channel in zip(*_NEAR_TO_FAR, strict=True)]
    coloured: Floats = np.stack(channels, axis=-1)
    coloured[depth <= 0] = _UNKNOWN
    return coloured


def _legend(images: Sequence[Shown], space: LabelSpace) -> str:
    if space.kind == "depth" or len(space.classes) == 1:
        return ""
    seen = {
        int(number)
        for image in images
        for picture in (image.truth, *(predicted for predicted, _ in image.predicted.values()))
        for number in np.unique(picture)
        if number
    }
    keys = [
        f'<span class="key"><i style="background:{colour(number - 1)}"></i>'
        f"{escape(space.classes[number - 1].replace('_', ' '))}</span>"
        for number in sorted(seen)
    ]
    return f'<p class="legend">{"".join(keys)}</p>\n'


def _rgb(number: int) -> tuple[int, int, int]:
    """The colour of a class, whose number is from 1 on."""
    text = colour(number - 1)
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
