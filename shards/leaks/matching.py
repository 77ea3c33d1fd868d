"""Which stretches of which videos show the same, found from their fingerprints in about linear time.

Fingerprints that agree in every bit of some band are candidates; sorting finds them. Where their other bits and the
fingerprints around them agree as well, the two videos are compared along all of that offset.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shards.leaks.prints import WORDS, Bits

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

CHANCE = 0.28
"""Share of bits that differ, below which two fingerprints speak for being of the same, above it against."""

_NEAR, _AROUND = 0.24, 15
"""The largest share of bits in which candidates differ, and how many fingerprints to each side are looked at."""

_NEIGHBOURS, _BATCH = 32, 1 << 16
"""Others that a fingerprint is compared with in each band, and candidates looked at together."""

# Between unlike videos evidence has an exponential tail: _COMMON * exp(-_RARER * evidence) of all comparisons reach it.
_COMMON, _RARER = 1e-4, 6.0
_FALSE_ALARMS = 0.01


@dataclass(frozen=True)
class Match:
    """Stretches of two videos that show the same.

    Attributes:
        first: Number of a video.
        second: Of another, above it.
        first_start: Its first fingerprint in the stretch.
        second_start: The other's.
        length: Fingerprints.
        score: 1 where all their bits agree, 0 where half of them do, as by chance.
        evidence: What `CHANCE` leaves of the shares of bits that differ, added up.
    """

    first: int
    second: int
    first_start: int
    second_start: int
    length: int
    score: float
    evidence: float


class Library:
    """The fingerprints of many videos, one after the other.

    Attributes:
        bits: Shape (N, WORDS).
        starts: Row of each video's first fingerprint, and N at the end.
    """

    def __init__(self, videos: list[Bits]) -> None:
        """Put them together; the list is emptied, since there is not room for all of them twice."""
        self.starts = np.concatenate([[0], np.cumsum([len(video) for video in videos], dtype=np.int64)])
        self.bits = np.zeros((self.starts[-1], WORDS), np.uint32)
        for start in self.starts[-2::-1]:
            video = videos.pop()
            self.bits[start : start + len(video)] = video

    def video_of(self, rows: Ints) -> Ints:
        """The numbers of the videos that rows belong to."""
        return np.searchsorted(self.starts, rows, side="right") - 1

    def holds(self, videos: Ints, rows: Ints) -> npt.NDArray[np.bool_]:
        """Whether rows, shape (C, K), are of their videos, shape (C,)."""
        return (rows >= self.starts[videos, None]) & (rows < self.starts[videos + 1, None])


def bands_of(count: int) -> list[slice]:
    """The bytes of a fingerprint in bands such that few unrelated ones agree in all of a band.

    Args:
        count: Fingerprints in the library.
    """
    width = 2 if count < 1 << 14 else 3 if count < 1 << 23 else 4
    return [slice(start, start + width) for start in range(0, 4 * WORDS - width + 1, width)]


def find_matches(library: Library, bands: Iterable[slice]) -> Iterator[Match]:
    """Find stretches that show the same, in different videos.

    Args:
        library: The fingerprints.
        bands: Those of `bands_of`; each is gone through once, which takes most of the time.

    Yields:
        Matches, sorted by the numbers of their videos; of two videos the one with most evidence first.
    """
    enough = evidence_needed(len(library.bits))
    diagonals: set[tuple[int, int, int]] = set()
    for band in bands:
        for first, second in _candidates(library, band):
            diagonals |= _agreeing(library, first, second, enough / 2)
    for (one, other), group in itertools.groupby(sorted(diagonals), key=lambda diagonal: diagonal[:2]):
        yield from _apart([match for *_, offset in group for match in _along(library, one, other, offset, enough)])


def evidence_needed(count: int) -> float:
    """Evidence that chance hardly ever gives in a library: it grows with the logarithm of how much is compared.

    Args:
        count: Fingerprints.
    """
    return math.log(max(count, 1000) ** 2 / 2 * _COMMON / _FALSE_ALARMS) / _RARER


def _candidates(library: Library, band: slice) -> Iterator[tuple[Ints, Ints]]:
    """Pairs of rows of different videos that agree in a band and are near in all bits, the lower row first.

    Of successive equal ones the first counts. Each is paired with the next few like it and no more, so that what is
    everywhere does not take quadratic time.
    """
    bits = library.bits
    keys: Bits = np.zeros(len(bits), np.uint32)
    for octets in bits.view(np.uint8)[:, band].T:
        keys = keys << np.uint32(8) | octets
    rows = np.flatnonzero(bits.any(axis=1) & np.append(True, keys[1:] != keys[:-1]))
    rows = rows[np.argsort(keys[rows], kind="stable")]
    keys = keys[rows]
    for step in range(1, _NEIGHBOURS + 1):
        same = np.flatnonzero(keys[step:] == keys[:-step])
        for batch in np.array_split(same, len(same) // _BATCH + 1):
            first, second = rows[batch], rows[batch + step]
            near = _differing(bits[first], bits[second]) <= _NEAR
            near &= library.video_of(first) != library.video_of(second)
            yield first[near], second[near]


def _agreeing(library: Library, first: Ints, second: Ints, enough: float) -> set[tuple[int, int, int]]:
    """Of candidates, the diagonals of those with evidence around them: both videos and the offset."""
    one, other = library.video_of(first), library.video_of(second)
    around = np.arange(-_AROUND, _AROUND + 1)
    rows, others = first[:, None] + around, second[:, None] + around
    inside = library.holds(one, rows) & library.holds(other, others)
    differing = _differing(library.bits[np.where(inside, rows, 0)], library.bits[np.where(inside, others, 0)])
    gains = np.where(inside & np.isfinite(differing), CHANCE - differing, 0)
    before = np.cumsum(gains[:, _AROUND::-1], axis=1).max(axis=1)
    after = np.cumsum(gains[:, _AROUND:], axis=1).max(axis=1)
    kept = before + after - gains[:, _AROUND] >= enough
    one, other = one[kept], other[kept]
    offsets = (first[kept] - library.starts[one]) - (second[kept] - library.starts[other])
    return set(zip(one.tolist(), other.tolist(), offsets.tolist(), strict=True))


def _along(library: Library, one: int, other: int, offset: int, enough: float) -> Iterator[Match]:
    """Where two videos agree at an offset: fingerprint n of the second is n + offset of the first."""
    lengths = np.diff(library.starts)
    start, stop = max(0, offset), min(lengths[one], lengths[other] + offset)
    here, there = library.starts[one] + start, library.starts[other] + start - offset
    differing = _differing(library.bits[here : here + stop - start], library.bits[there : there + stop - start])
    known = np.flatnonzero(np.isfinite(differing))
    for begin, end, evidence in _stretches(CHANCE - differing[known], enough):
        shares = differing[known[begin:end]]
        close = begin + np.flatnonzero(shares <= (np.median(shares) + CHANCE) / 2)  # at the ends some are half outside
        at, length = int(known[close[0]]), int(known[close[-1]] - known[close[0]]) + 1
        score = 1 - 2 * float(shares.mean())
        yield Match(one, other, start + at, start + at - offset, length, score, evidence)


def _stretches(gains: Floats, enough: float) -> Iterator[tuple[int, int, float]]:
    """The stretch with the largest sum, if that is enough, and the same of what lies before and after it.

    Where a sum falls by as much on the way, there are two stretches, and each of them has enough.
    """
    waiting = [(0, len(gains))]
    while waiting:
        begin, end = waiting.pop()
        sums = np.concatenate([[0.0], np.cumsum(gains[begin:end])])
        stop = int(np.argmax(sums - np.minimum.accumulate(sums)))
        start = int(np.argmin(sums[: stop + 1]))
        inner = sums[start : stop + 1]
        falls = np.maximum.accumulate(inner) - inner
        if falls.max() >= enough:
            cut = begin + start + int(np.argmax(falls))
            waiting += [(begin, cut), (cut, end)]
        elif inner[-1] - inner[0] >= enough:
            yield begin + start, begin + stop, float(inner[-1] - inner[0])
            waiting += [(begin, begin + start), (begin + stop, end)]


def _apart(matches: list[Match]) -> list[Match]:
    """Without those most of which a better one of the same videos covers: a scene resembles itself a moment later."""
    kept: list[Match] = []
    for match in sorted(matches, key=lambda match: -match.evidence):
        if not any(_shared(match, better) > match.length / 2 for better in kept):
            kept.append(match)
    return kept


def _shared(match: Match, other: Match) -> int:
    """Fingerprints of the first video in both."""
    start = max(match.first_start, other.first_start)
    return min(match.first_start + match.length, other.first_start + other.length) - start


def _differing(one: Bits, other: Bits) -> Floats:
    """Share of bits in which fingerprints differ, shape (...) of (..., WORDS); NaN where either says nothing."""
    share = np.bitwise_count(one ^ other).sum(axis=-1) / (32 * WORDS)
    return np.where(one.any(axis=-1) & other.any(axis=-1), share, np.nan)
