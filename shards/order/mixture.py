"""The mixture: the dataset of each draw, and the number of draws that dataset had before.

Weights become whole numbers: in every *period* of C draws, dataset d is drawn exactly c_d times. So shares are exact
in each period, and because the draws of a dataset are spread evenly over it, nearly exact in each step.

Within a period, draw j of dataset d has the key (j + a hashed fraction of 1) / c_d, a number in [0, 1), and the draws
are taken in the order of their keys. Each dataset has one draw in each c_d-th of the period, at a random place of it.
The keys of a dataset grow with j, so its draws come in order; this matters because consecutive draws share chunks.

A period may be as long as the corpus, and is never sorted as a whole: the keys below a threshold t number c_d t for
dataset d, give or take one, so any window of draws lies between two thresholds that a division gives, and costs the
same wherever it lies.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from functools import cached_property
from typing import Annotated, Literal

import numpy as np

from surgstream.configs.errors import ConfigError
from surgstream.configs.ranges import Range
from surgstream.shards.keyed_random import Int64, Purpose, UInt64, hash64

Weights = Literal["uniform", "balanced"] | dict[str, Annotated[float, Range(0, 1e12)]]

STEEPEST = 8.0
"""The greatest `temperature`."""

MAX_PERIOD = 2**30
"""Weights whose exact period would be longer are rounded to this many parts."""

MAX_COUNT = 2**31 - 1
"""The most draws of one dataset in a period, so that keys in 63 bits still tell its draws apart."""

_DECIMALS = Context(prec=20)
_FRACTION_BITS = 32
_SHIFT = 14


def asked_shares(
    weights: Weights, specialties: Mapping[str, str], num_clips: Mapping[str, int]
) -> dict[str, Fraction]:
    """The share of all draws that a weighting asks for each dataset.

    Args:
        weights: `uniform`: every clip as often as any other. `balanced`: every specialty as often as any other, and
            within it every dataset, UniSurg's w(x) ~ 1 / (N_d |D_s|). `{temperature: a}`: every dataset by its number
            of clips to the power of a, so 1 is uniform and 0 draws all datasets alike. Or the weight of each dataset by
            name.
        specialties: The specialty of each dataset.
        num_clips: The clips of each dataset.

    Returns:
        Shares by dataset, in the order of `num_clips`; they sum to 1.

    Raises:
        ConfigError: Weights by name do not name exactly the datasets of the corpus.
    """
    temperature = temperature_of(weights)
    if temperature is not None:
        # Decimals are the same on every machine, powers of doubles are not.
        power = Decimal(repr(temperature))
        masses = {
            name: Fraction(_DECIMALS.power(Decimal(clips), power))
            for name, clips in num_clips.items()
        }
    elif isinstance(weights, dict):
        _check_names(weights, num_clips)
        # repr gives the decimal that was written, so 0.1 means one tenth and not its nearest double.
        masses = {name: Fraction(repr(float(weights[name]))) for name in num_clips}
    elif weights == "balanced":
        crowd = Counter(specialties[name] for name in num_clips)
        masses = {name: Fraction(1, crowd[specialties[name]]) for name in num_clips}
    else:
        masses = {name: Fraction(clips) for name, clips in num_clips.items()}

    total = sum(masses.values())
    return {name: mass / total for name, mass in masses.items()}


def _check_names(weights: Mapping[str, float], num_clips: Mapping[str, int]) -> None:
    """Raise ConfigError unless the weights name all datasets of a corpus and no others."""
    names = ", ".join(num_clips)
    for name in sorted(weights.keys() ^ num_clips.keys()):
        expected = "a weight (0 leaves the dataset out)"
        if name in weights:
            expected = "a dataset of the corpus"
        raise ConfigError(f"weights.{name}: expected {expected}; the corpus has {names}")


def with_share(
    shares: Mapping[str, Fraction], stills: Collection[str], stills_share: float
) -> dict[str, Fraction]:
    """Give the datasets of still images a share of their own; within them, and within the others, shares keep.

    Args:
        shares: Shares by dataset that sum to 1.
        stills: The datasets of still images.
        stills_share: Their share.

    Returns:
        Shares by dataset that sum to 1.

    Raises:
        ConfigError: There are no still images to draw, or nothing else.
    """
    of_stills = sum((share for name, share in shares.items() if name in stills), Fraction(0))
    if of_stills in (0, 1):
        found = "none are drawn" if of_stills == 0 else "nothing else is drawn"
        raise ConfigError(
            f"stills_share: expected datasets packed as stills beside others, got {stills_share}, "
            f"while {found}; pack some, or weigh them above 0, or set stills_share to null"
        )

    asked = Fraction(repr(stills_share))
    factors = {True: asked / of_stills, False: (1 - asked) / (1 - of_stills)}
    return {name: share * factors[name in stills] for name, share in shares.items()}


def temperature_of(weights: Weights) -> float | None:
    """The power of a weighting by temperature; None of another. A sole dataset of that name has all draws anyway."""
    if isinstance(weights, dict) and weights.keys() == {"temperature"}:
        return weights["temperature"]
    return None


def period_counts(shares: Mapping[str, Fraction]) -> dict[str, int]:
    """Turn shares into the draws of each dataset in one period.

    Exact over the least common denominator where that is at most 2^30, else by largest remainder over 2^30, which
    moves no share by more than 10^-9.

    Args:
        shares: Shares by dataset that sum to 1.

    Returns:
        Counts by dataset; a dataset with a share of 0 has the count 0.

    Raises:
        ConfigError: A share above 0 is too small to be drawn at all.
    """
    exact_period = math.lcm(*(share.denominator for share in shares.values()))
    period = min(exact_period, MAX_PERIOD)
    counts = {name: math.floor(share * period) for name, share in shares.items()}
    # Largest remainder first: each takes one of the draws that rounding down has left.
    remainders = {name: share * period - counts[name] for name, share in shares.items()}
    num_left = period - sum(counts.values())
    for name in sorted(remainders, key=lambda name: -remainders[name])[:num_left]:
        counts[name] += 1

    for name, share in shares.items():
        if share and not counts[name]:
            raise ConfigError(
                f"weights.{name}: expected a share of at least 1 draw in {period}; "
                "give 0 to leave it out"
            )
    return counts


@dataclass(frozen=True, eq=False)
class Mixture:
    """The endless sequence of (dataset, draw of that dataset) for fixed counts per period.

    Attributes:
        seed: The seed of the order.
        keys: A hash of each dataset's name, (D,), so that a dataset keeps its draws when others come and go.
        counts: Draws of each dataset per period, (D,), at least one of them above 0.
    """

    seed: int
    keys: UInt64
    counts: Int64

    @property
    def period(self) -> int:
        """Draws in a period, C."""
        return int(self.counts.sum())

    def draws(self, start: int, stop: int) -> tuple[Int64, Int64]:
        """Draws [start, stop) of the sequence.

        Args:
            start: First position.
            stop: One past the last position.

        Returns:
            dataset: Index of each draw's dataset, (stop - start,).
            k: How many draws that dataset had before, (stop - start,).
        """
        if start == stop:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        dataset, k, before = self._window(start, stop)
        skip = start - int(before.sum())
        wanted = slice(skip, skip + stop - start)
        return dataset[wanted], k[wanted]

    def drawn_before(self, position: int) -> Int64:
        """The number of each dataset's draws among the first `position`, (D,)."""
        dataset, _, before = self._window(position, position)
        in_window = position - int(before.sum())
        return before + np.bincount(dataset[:in_window], minlength=before.size)

    @cached_property
    def _fraction_bits(self) -> int:
        """Bits b of the hashed fraction: bits(c_d) + b + 14 <= 63, so that no product below overflows."""
        count_bits = int(self.counts.max()).bit_length()
        return min(_FRACTION_BITS, 63 - _SHIFT - count_bits)

    def _window(self, start: int, stop: int) -> tuple[Int64, Int64, Int64]:
        """All draws between two thresholds around positions [start, stop), sorted.

        Returns:
            dataset: (num,), with num at most stop - start plus a few for each dataset.
            k: (num,).
            before: How many draws each dataset had before this window, (D,).
        """
        # Dataset d has more than c_d t - 1 and less than c_d t + 1 draws below a threshold t. So the threshold D
        # positions before `start` has at most `start` draws below it, and the one D after `stop` at least `stop`.
        num_datasets = self.counts.size
        one = 1 << (self._fraction_bits + _SHIFT)
        first = start // self.period
        last = max(start, stop - 1) // self.period
        into_first = start - first * self.period
        into_last = stop - last * self.period
        early = (into_first - num_datasets) * one // self.period
        late = -(-(into_last + num_datasets) * one // self.period)

        # (num_periods, D): draws j of [low, high) lie in the window.
        num_periods = last - first + 1
        low = np.zeros((num_periods, num_datasets), np.int64)
        high = np.tile(self.counts, (num_periods, 1))
        low[0] = self._drawn_below(first, max(0, early))
        high[-1] = self._drawn_below(last, min(one, late))
        spans = (high - low).ravel()

        # An entry for each draw: its cell of the table, and its j, counting up from the cell's low.
        cell = np.repeat(np.arange(spans.size), spans)
        entries_before = np.cumsum(spans) - spans
        first_j = low.ravel() - entries_before
        j = np.arange(cell.size) + np.repeat(first_j, spans)
        period, dataset = np.divmod(cell, num_datasets)
        period += first

        # Stable, so that draws with equal keys stay as they were listed: by dataset, then by j.
        rank = np.lexsort((self._draw_keys(period, dataset, j), period))

        k = period * self.counts[dataset] + j
        before = first * self.counts + low[0]
        return dataset[rank], k[rank], before

    def _drawn_below(self, period: int, threshold: int) -> Int64:
        """The number of each dataset's draws with a key below `threshold` in this period, (D,)."""
        # floor(x / c) < t if and only if x < t c, and x is a multiple of 2^shift.
        limit = -((-threshold * self.counts) >> _SHIFT)
        # Draws before `whole` lie below the limit; that one does if its fraction is below `part`.
        whole = limit >> self._fraction_bits
        part = limit - (whole << self._fraction_bits)
        fractions = self._fractions(period, np.arange(self.counts.size), whole)
        return whole + (fractions < part)

    def _draw_keys(self, period: Int64, dataset: Int64, j: Int64) -> Int64:
        key = (j << self._fraction_bits) | self._fractions(period, dataset, j)
        return (key << _SHIFT) // self.counts[dataset]

    def _fractions(self, period: int | Int64, dataset: Int64, j: Int64) -> Int64:
        bits = hash64(self.seed, Purpose.MIXTURE, self.keys[dataset], period, j)
        return (bits >> np.uint64(64 - self._fraction_bits)).astype(np.int64)
