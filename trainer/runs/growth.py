"""Growth: what a metric is against what was spent on it, as frames, steps, operations or labels, with intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from surgstream.trainer.runs.plot import Line, Panel, draw


@dataclass(frozen=True, kw_only=True)
class GrowthPoint:
    """A measurement.

    Attributes:
        series: What it is compared within, such as the name of a model or of a protocol.
        x: What was spent, above 0: frames of a corpus, steps, operations, or labelled videos.
        value: The metric; NaN where it is undefined, and the point is left out.
        low: The lower end of its interval; NaN where there is none.
        high: The upper end.
    """

    series: str
    x: float
    value: float
    low: float = math.nan
    high: float = math.nan


def draw_growth(
    title: str,
    metric: str,
    against: Mapping[str, Sequence[GrowthPoint]],
    *,
    subtitle: str = "bars are 95 % intervals",
    references: Mapping[str, float] | None = None,
) -> str:
    """Draw a metric over each of some quantities, a panel for each, with logarithmic x.

    Args:
        title: The title of the whole picture.
        metric: The metric, with its unit.
        against: The points by the name of what was spent, such as `frames`; what has no point is left out.
        subtitle: A line of text below the title.
        references: Values to compare with, such as of random weights, by name: a dashed line from end to end.

    Returns:
        The text of an SVG file.

    Raises:
        ValueError: No point is left, or x of one is not above 0.
    """
    panels = []
    for name, points in against.items():
        shown = [point for point in points if math.isfinite(point.value)]
        for point in shown:
            if not 0 < point.x < math.inf:
                raise ValueError(f"{name}: expected a finite x above 0, got {point.x}")
        if shown:
            lines = [*_lines(shown), *_references(shown, references or {})]
            panels.append(Panel(metric, name, lines, is_close=True))

    if not panels:
        raise ValueError(f"{title}: expected at least one point with a value, got none")
    return draw(title, subtitle, panels)


def _lines(points: Sequence[GrowthPoint]) -> list[Line]:
    """A line for each series, in the order in which they first come."""
    by_series: dict[str, list[GrowthPoint]] = {}
    for point in sorted(points, key=lambda point: point.x):
        by_series.setdefault(point.series, []).append(point)

    return [
        Line(
            series,
            [(point.x, point.value) for point in by_series[series]],
            intervals=[(point.low, point.high) for point in by_series[series]],
        )
        for series in dict.fromkeys(point.series for point in points)
    ]


def _references(points: Sequence[GrowthPoint], references: Mapping[str, float]) -> list[Line]:
    first = min(point.x for point in points)
    last = max(point.x for point in points)
    return [
        Line(name, [(first, value), (last, value)], is_reference=True)
        for name, value in references.items()
        if math.isfinite(value)
    ]
