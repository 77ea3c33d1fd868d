"""The numbers that are written along the axes of a plot."""

import itertools
import math
from collections.abc import Sequence

_MAX_TICKS = 9
_MOST_STEPS = 7


def logarithmic_ticks(values: Sequence[float]) -> list[float]:
    """1, 2 and 5 times powers of ten around positive values, or the powers alone where those are too many."""
    least = min(values)
    most = max(values)
    exponents = range(math.floor(math.log10(least)) - 1, math.ceil(math.log10(most)) + 2)
    powers = [10.0**exponent for exponent in exponents]

    for factors in ((1, 2, 5), (1,)):
        ticks = [factor * power for power, factor in itertools.product(powers, factors)]
        first = max(i for i, tick in enumerate(ticks) if tick < least)
        stop = min(i for i, tick in enumerate(ticks) if tick > most) + 1
        if stop - first <= _MAX_TICKS:
            break
    return ticks[first:stop]


def linear_ticks(least: float, most: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten from `least` to `most`, about five of them.

    Args:
        least: The least number.
        most: More than that.
    """
    height = most - least
    power = 10.0 ** math.floor(math.log10(height))
    shares = (0.1, 0.2, 0.5, 1.0, 2.0)
    step = next(power * share for share in shares if height / (power * share) < _MOST_STEPS)
    first = math.ceil(least / step - 1e-9)
    return [number * step for number in range(first, math.floor(most / step + 1e-9) + 1)]
