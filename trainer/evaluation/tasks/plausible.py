"""Values that no model can have, which published tables hold nevertheless."""

from collections.abc import Iterator, Mapping

_COUNTED = ("accuracy", "image_accuracy")
"""Metrics that are k of n rows."""


def impossible(values: Mapping[str, float], num_rows: int | None = None) -> Iterator[str]:
    """Yield what cannot be, in words.

    Args:
        values: Metrics by id, as fractions or as they are printed, in per cent.
        num_rows: The rows that were scored, where that is known.
    """
    for name, jaccard in values.items():
        # TP / (TP + FP + FN) is at most 2 TP / (2 TP + FP + FN), and so are their means.
        f1 = values.get(name.replace("jaccard", "f1"), jaccard)
        if jaccard > f1:
            yield f"{name}: {jaccard:g} is above the F1 of {f1:g}"

    for name in _COUNTED:
        if num_rows and name in values and not is_share(values[name], num_rows):
            yield f"{name}: {values[name]:g} is no k of {num_rows}"


def is_share(value: float, num_rows: int) -> bool:
    """Whether a fraction, or a percentage where it is above 1, is k of n, rounded as it is written."""
    whole = 100 if value > 1 else 1
    nearest = whole * round(value / whole * num_rows) / num_rows
    digits = len(repr(value).partition(".")[2])
    return abs(nearest - value) <= 0.5 * 10.0**-digits + 1e-9
