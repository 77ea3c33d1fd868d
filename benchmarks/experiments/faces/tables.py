"""The measurements of face detectors, and their tables."""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from surgstream.configs.columns import markdown

KELVINS = (6500, 5000, 4000, 3000, 2700)
SIZES = (0.1, 0.15, 0.25, 0.5, 0.75, 1.0, 1.3)
"""Sizes of a face, as shares of the picture's lines; the last one is cut by the edges."""

MASKED_SIZES = (0.25, 0.5, 1.0)


@dataclass(frozen=True, kw_only=True)
class Row:
    """The measurements of a detector.

    Attributes:
        name: See `Detector`, as the next three.
        licence: The licence of its weights.
        num_bytes: The size of its weights.
        threshold: The score from which on it sees a face.
        milliseconds: CPU time for a frame of 456x256.
        recall: Share of faces that are found, by size and kelvin, or by size where a mask is drawn over them.
        looks: At surgery, by where that comes from.
        alarms: Looks at surgery in which it sees a face.
        highest: Its highest score there; 0 where it finds nothing at all.
        packing: CPU seconds of packing with it over those without, of every repeat, by video.
    """

    name: str
    licence: str
    num_bytes: int
    threshold: float
    milliseconds: float
    recall: dict[str, float]
    looks: dict[str, int]
    alarms: dict[str, int]
    highest: dict[str, float]
    packing: dict[str, list[float]]


def summary(rows: Sequence[Row]) -> str:
    """A line for each detector, as Markdown."""
    heading = (
        "detector",
        "licence",
        "MB",
        "ms a look",
        "faces of 25 to 100 %",
        "of 10 %",
        "25 % and more, 2,700 K",
        "masked",
        "alarms, real",
        "synthetic",
        "packing CPU",
    )
    lines: list[tuple[str, ...]] = [heading]

    for row in rows:
        large = ("0.25", "0.5", "0.75", "1.0")
        faces = itertools.product(large, KELVINS)
        shares = (
            statistics.fmean(row.recall[f"{size} {kelvin}"] for size, kelvin in faces),
            statistics.fmean(row.recall[f"0.1 {kelvin}"] for kelvin in KELVINS),
            statistics.fmean(row.recall[f"{size} 2700"] for size in large),
            statistics.fmean(row.recall[f"{size} masked"] for size in MASKED_SIZES),
        )

        alarms = [f"{row.alarms[kind]} of {row.looks[kind]:,}" for kind in ("real", "synthetic")]
        packing = ", ".join(f"{statistics.median(ratios):.2f}" for ratios in row.packing.values())
        cells = (row.name, row.licence, f"{row.num_bytes / 1e6:.2f}", f"{row.milliseconds:.1f}")
        lines.append((*cells, *(f"{share:.0%}" for share in shares), *alarms, packing))

    return markdown(lines, left=2)


def recall_table(row: Row) -> str:
    """Recall by light and size, as Markdown."""
    lines = [(row.name, *(f"{size:.0%}" for size in SIZES))]
    for kelvin in KELVINS:
        recall = [row.recall[f"{size} {kelvin}"] for size in SIZES]
        lines.append((f"{kelvin:,} K", *(f"{share:.0%}" for share in recall)))
    return markdown(lines)
