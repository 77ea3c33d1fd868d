"""Ranges of numbers: next to a configuration's field, `Annotated[int, Range(1, 64)]`, and behind a command's flag.

Every number that a user may give has one, finite, and wide enough that nobody meets its ends in earnest. So whatever is
computed from such numbers ends soon and fits into memory, and no library is handed what it cannot represent.
"""

import argparse
import math
from dataclasses import dataclass

LAST_DRAW = 2**62
"""Draws are counted in 63 bits; this leaves room for the rest of a step."""


@dataclass(frozen=True)
class Range:
    """From the least to the greatest value, both included."""

    least: float
    greatest: float

    def read(self, value: float) -> float:
        """Return a value that is in the range; ValueError otherwise."""
        if value not in self:
            raise ValueError(f"expected {self}, got {value!r}")
        return value

    def __contains__(self, value: float) -> bool:
        return self.least <= value <= self.greatest

    def __str__(self) -> str:
        return f"{_written(self.least)} to {_written(self.greatest)}"


class Number:
    """The `type` of a flag that takes a number, for argparse: `type=Number(int, 1, 64)`."""

    def __init__(self, kind: type[int] | type[float], least: float, greatest: float) -> None:
        """Set the range.

        Args:
            kind: int takes whole numbers alone.
            least: The least number that is taken.
            greatest: The greatest number that is taken.
        """
        self.kind = kind
        self.range = Range(least, greatest)

    def __call__(self, text: str) -> float:
        """Read a number; argparse reports what was expected together with the flag's name."""
        try:
            value = self.kind(text)
        except ValueError:
            value = math.nan
        if value not in self.range:
            whole = "a whole number from " if self.kind is int else ""
            raise argparse.ArgumentTypeError(f"expected {whole}{self.range}, got {text[:80]!r}")
        return value


def _written(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.12g}"
