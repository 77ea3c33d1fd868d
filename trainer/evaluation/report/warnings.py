"""What a reader of a result should know before its numbers."""

from collections.abc import Iterator, Sequence

from surgstream.trainer.evaluation.report.numbers import some_of
from surgstream.trainer.evaluation.report.result import Row
from surgstream.trainer.evaluation.statistics.bootstrap import FEW_UNITS
from surgstream.trainer.evaluation.statistics.units import Units

OUTSIDE = "the value is outside, as draws of videos lack classes that few videos have"
"""What is said of an interval that does not hold its value."""


def warnings(rows: Sequence[Row], units: Units, split: str, *, has_train: bool) -> Iterator[str]:
    """Yield warnings, a sentence each.

    Args:
        rows: Models and yardsticks.
        units: What intervals draw from.
        split: The name of the videos.
        has_train: Whether labels of training videos are at hand.
    """
    if not has_train:
        yield (
            "labels of the training videos are not at hand: the yardsticks constant and time alone "
            "are missing"
        )
    for row in rows:
        if "constant" in row.marks:
            yield f"{row.name} predicts the same for every row of all videos"
        if row.leaks and row.leaks.mark == "contaminated":
            count = len(row.leaks.videos)
            yield f"{row.name} was trained on {count} of these videos: {some_of(row.leaks.videos)}"
    if split != "test":
        yield f"these are the videos of the {split} split, by which models are chosen"

    if units.count == 1:
        yield f"{units.counted(1)}: there are no intervals"
    elif units.count < FEW_UNITS:
        yield f"{units.counted(units.count)}: intervals of so few are too narrow"
    outside = {
        metric: None
        for row in rows
        for metric, value in row.values.items()
        if OUTSIDE in value.interval
    }
    if outside:
        yield (
            f"{', '.join(outside)}: some intervals do not hold the value itself, as draws of videos lack "
            "classes that few videos have; read values over videos instead"
        )
