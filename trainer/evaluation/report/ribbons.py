"""Phase ribbons: what is true of a video over time, and below what each model says, as runs of colour."""

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from surgstream.shards.keyed_random import Purpose, choice, hash64, hash_text
from surgstream.trainer.evaluation.metrics.samples import ScoredVideo
from surgstream.trainer.evaluation.metrics.segments import runs

NUM_WORST = 3
NUM_BETWEEN = 6
NUM_BEST = 3

_WIDTH = 1000
_HEIGHT = 16
_TICKS = (5, 15, 60, 300, 600, 900, 1800, 3600)
"""Distances of ticks in seconds; the first that gives no more than a dozen is taken."""

_COLOURS = (
    "#1f6fb4", "#f0a32f", "#2f9e6e", "#d1495b", "#8a63c4", "#7fc8e8", "#9a6a3a", "#e58bc2", "#a8c256",
    "#5c6770", "#143d6b", "#f2d96b",
)  # fmt: skip
_GOLDEN = 0.618034
_LIGHTNESS = (0.42, 0.60, 0.74)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A video to show.

    Attributes:
        why: Why it was chosen: `worst`, `best`, or `between`.
        videos: What each model predicted for it, by the model's name; the truth is that of the first.
    """

    why: str
    videos: dict[str, ScoredVideo]


def choose_cases(models: Mapping[str, Sequence[ScoredVideo]]) -> list[Case]:
    """Choose the videos to show by the accuracy of the first model: the worst, the best, and one of each sixth between.

    Args:
        models: The videos of each model, the same ones in the same order.

    Returns:
        The cases from the worst to the best; all, where there are few. Always the same ones.
    """
    first = next(iter(models.values()))
    order = np.argsort([accuracy(video) for video in first], kind="stable").tolist()
    if len(order) <= NUM_WORST + NUM_BETWEEN + NUM_BEST:
        worst, between, best = order[:NUM_WORST], order[NUM_WORST:-NUM_BEST], order[-NUM_BEST:]
        best = [number for number in best if number not in worst]
    else:
        worst, best = order[:NUM_WORST], order[-NUM_BEST:]
        parts = np.array_split(np.array(order[NUM_WORST:-NUM_BEST]), NUM_BETWEEN)
        between = [_one_of(part, first) for part in parts]

    reasons = {"worst": worst, "between": between, "best": best}
    return [
        Case(why=why, videos={name: videos[number] for name, videos in models.items()})
        for why, numbers in reasons.items()
        for number in numbers
    ]


def accuracy(video: ScoredVideo) -> float:
    """The share of a video's rows that are predicted right."""
    return float(np.mean(video.truth == video.predicted))


def draw_case(case: Case, classes: Sequence[str]) -> str:
    """Draw a case as HTML with inline SVG: truth on top, a row a model, and times below."""
    first = next(iter(case.videos.values()))
    edges = _edges(first)
    start = float(edges[0])
    length = float(edges[-1]) - start

    rows = [_row("truth", "", first, first.truth, classes, start, length)]
    for name, video in case.videos.items():
        assert video.predicted is not None
        right = f"{100 * accuracy(video):.1f}"
        rows.append(_row(name, right, video, video.predicted, classes, start, length))
    rows.append(f'<div></div>{_axis(start, length)}<div class="n">%</div>')

    title = f"{escape(first.video)} <small>{case.why}, {_clock(length)}, {first.num_rows:,} rows</small>"
    return f'<h3>{title}</h3>\n<div class="ribbons">{"".join(rows)}</div>\n'


def legend(classes: Sequence[str]) -> str:
    """The colours of classes."""
    keys = [
        f'<span class="key"><i style="background:{colour(number)}"></i>{escape(_words(name))}</span>'
        for number, name in enumerate(classes)
    ]
    return f'<p class="legend">{"".join(keys)}</p>\n'


def colour(number: int) -> str:
    """The colour of a class by its number: one of a dozen, and then of hues that are far from their neighbours'."""
    if number < len(_COLOURS):
        return _COLOURS[number]
    hue = (0.58 + number * _GOLDEN) % 1.0
    red, green, blue = colorsys.hls_to_rgb(hue, _LIGHTNESS[number % len(_LIGHTNESS)], 0.58)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def _one_of(numbers: npt.NDArray[np.int64], videos: Sequence[ScoredVideo]) -> int:
    """One of some videos, by a key of their names."""
    names = "\n".join(videos[number].video for number in numbers)
    order = choice(hash64(Purpose.MADE_UP, hash_text(names)), len(numbers))
    return int(numbers[order[0]])


def _edges(video: ScoredVideo) -> npt.NDArray[np.float64]:
    """When each row begins, and when the last one ends: after the mean time between rows, or a second."""
    start, end = video.seconds[0], video.seconds[-1]
    distance = (end - start) / (video.num_rows - 1) if video.num_rows > 1 else 1.0
    return np.append(video.seconds, end + distance)


def _row(
    name: str,
    number: str,
    video: ScoredVideo,
    labels: npt.NDArray[np.int64],
    classes: Sequence[str],
    start: float,
    length: float,
) -> str:
    edges = _edges(video)
    places = (edges - start) * _WIDTH / length
    rects = []
    for rows in runs(labels):
        label = int(labels[rows.start])
        left = places[rows.start]
        width = places[rows.stop] - left
        title = escape(f"{_words(classes[label])}, from {_clock(float(edges[rows.start]))}")
        rects.append(
            f'<rect x="{left:.2f}" width="{max(width, 0.3):.2f}" height="{_HEIGHT}" '
            f'fill="{colour(label)}"><title>{title}</title></rect>'
        )

    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none"'
    svg = f'<svg {box} height="{_HEIGHT}" shape-rendering="crispEdges">{"".join(rects)}</svg>'
    return f'<div class="name">{escape(name)}</div>{svg}<div class="n">{number}</div>'


def _axis(start: float, length: float) -> str:
    distance = next((each for each in _TICKS if length / each <= 12), 2 * _TICKS[-1])
    first = -(-start // distance)
    marks = []
    for number in range(int(first), int((start + length) // distance) + 1):
        share = (number * distance - start) / length
        marks.append(f'<span style="left:{100 * share:.2f}%">{_clock(number * distance)}</span>')
    return f'<div class="axis">{"".join(marks)}</div>'


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _words(name: str) -> str:
    return name.replace("_", " ")
