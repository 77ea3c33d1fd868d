"""Whether a model's confidence is its accuracy: the reliability curve, and the expected calibration error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo

NUM_BINS = 15

_SIZE = 300
_EDGE = 42

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """The reliability of a classifier.

    Attributes:
        confidence: (B,), the mean probability of the predicted class in each of B equal ranges; NaN in empty ones.
        accuracy: (B,), the share of predictions there that are right.
        num_rows: (B,), how many there are.
        error: The expected calibration error: the mean of |accuracy - confidence|, weighted by rows.
        by: How scores became probabilities: `as given`, or `softmax`.
    """

    confidence: Floats
    accuracy: Floats
    num_rows: npt.NDArray[np.int64]
    error: float
    by: str


def reliability(videos: Sequence[ScoredVideo]) -> Reliability | None:
    """Compare confidence with accuracy over all rows; None where there are no scores.

    Scores that are from 0 to 1 and add up to 1 in each row are taken for probabilities, others for logits.
    """
    if any(video.scores is None for video in videos):
        return None
    scores = np.concatenate([video.scores for video in videos if video.scores is not None])
    truth = np.concatenate([video.truth for video in videos])

    sums = scores.sum(1)
    are_probabilities = bool(scores.min() >= 0 and np.abs(sums - 1).max() < 0.01)
    probabilities = scores / sums[:, None] if are_probabilities else softmax(scores)
    confidence = probabilities.max(1)
    right = (probabilities.argmax(1) == truth).astype(np.float64)

    places = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    num_rows = np.bincount(places, minlength=NUM_BINS)
    number = np.where(num_rows == 0, np.nan, num_rows)
    mean_confidence = np.bincount(places, confidence, NUM_BINS) / number
    accuracy = np.bincount(places, right, NUM_BINS) / number
    gaps = np.nan_to_num(np.abs(accuracy - mean_confidence))
    return Reliability(
        confidence=mean_confidence,
        accuracy=accuracy,
        num_rows=num_rows,
        error=float((gaps * num_rows).sum() / num_rows.sum()),
        by="as given" if are_probabilities else "softmax",
    )


def softmax(scores: Floats) -> Floats:
    """Probabilities (n, C) of logits (n, C)."""
    exponentials = np.exp(scores - scores.max(1, keepdims=True))
    probabilities: Floats = exponentials / exponentials.sum(1, keepdims=True)
    return probabilities


def draw_reliabilities(models: Mapping[str, Sequence[ScoredVideo]], space: LabelSpace) -> str:
    """Draw the reliability of each model, of a task with one class a row; nothing of others."""
    if space.kind != "class":
        return ""
    figures = []
    for name, videos in models.items():
        found = reliability(videos)
        if found is None:
            figures.append(f"<figure><figcaption>{escape(name)}: no scores</figcaption></figure>")
            continue
        said = (
            f"{name}: expected calibration error {100 * found.error:.1f} %, probabilities "
            f"{'as given' if found.by == 'as given' else 'by softmax of the scores'}"
        )
        figures.append(
            f"<figure>{draw_reliability(found)}<figcaption>{escape(said)}</figcaption></figure>"
        )
    return f'<h2>Reliability</h2>\n<div class="plots">{"".join(figures)}</div>\n'


def draw_reliability(found: Reliability) -> str:
    """Draw the curve as SVG: accuracy over confidence, the diagonal, and below how many rows there are."""
    inner = _SIZE - _EDGE - 8

    def at(x: float, y: float) -> tuple[float, float]:
        return _EDGE + x * inner, 8 + (1 - y) * inner

    share = found.num_rows / found.num_rows.max()
    bars = []
    for number, height in enumerate(share.tolist()):
        x, y = at(number / NUM_BINS, 0.25 * height)
        bars.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{inner / NUM_BINS - 1:.1f}" '
            f'height="{0.25 * height * inner:.1f}" class="count"/>'
        )

    pairs = zip(found.confidence.tolist(), found.accuracy.tolist(), strict=True)
    points = [at(x, y) for x, y in pairs if x == x]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points]

    ticks = []
    for value in (0.0, 0.5, 1.0):
        x, y = at(value, value)
        ticks.append(f'<text x="{x:.1f}" y="{_SIZE - _EDGE + 16}" class="middle">{value:g}</text>')
        ticks.append(f'<text x="{_EDGE - 6}" y="{y + 4:.1f}" class="end">{value:g}</text>')

    x0, y0 = at(0, 0)
    x1, y1 = at(1, 1)
    frame = f'<rect x="{x0}" y="{y1}" width="{inner}" height="{inner}" class="frame"/>'
    diagonal = f'<line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" class="diagonal"/>'
    names = (
        f'<text x="{(x0 + x1) / 2}" y="{_SIZE - 8}" class="middle">confidence</text>'
        f'<text transform="translate(12 {(y0 + y1) / 2}) rotate(-90)" class="middle">accuracy</text>'
    )
    marks = "".join([*bars, frame, diagonal, *ticks, names])
    return (
        f'<svg class="plot" viewBox="0 0 {_SIZE} {_SIZE}" width="{_SIZE}" height="{_SIZE}" role="img">'
        f'{marks}<polyline points="{line}"/>{"".join(dots)}</svg>'
    )
