"""Stretches of videos that show the same, found from their fingerprints.

Where the bits of candidates and the fingerprints around them agree, the two videos are compared along all of that
offset. One video of a pair is looked at once a second, the other at several phases, since a copy may start between
seconds, and in several poses.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from surgstream.shards.leaks.candidates import (
    Diagonal,
    Floats,
    Ints,
    Library,
    by_pair,
    candidates,
    diagonals_of,
    shares_along,
)
from surgstream.shards.leaks.thumbnails import POSES, differing, posed

CHANCE = 0.28
"""Share of differing bits: two fingerprints with fewer speak for being of the same, with more against."""

_NEAR = 0.24
"""The largest share of bits in which candidates differ."""

_AROUND = 15
"""Fingerprints that are compared on each side of a candidate."""

# Between unlike videos evidence has an exponential tail: _COMMON * exp(-_RARER * evidence) of all comparisons reach it.
_COMMON = 1e-4
_RARER = 6.0
_FALSE_ALARMS = 0.01
_FEWEST = 500_000
"""Comparisons that a small library is taken to have."""


@dataclass(frozen=True)
class Match:
    """Stretches of two videos that show the same.

    Attributes:
        first: Number of a video.
        second: Of another, above it.
        first_start: Its first fingerprint in the stretch.
        second_start: The other's.
        first_phase: The phase of the first's fingerprints.
        second_phase: The phase of the other's; one of the two is 0.
        pose: One of `POSES`: the orientation of the one, seen from the other.
        length: Fingerprints.
        score: 1 where all their bits agree, 0 where half of them do, as by chance.
        evidence: The sum of `CHANCE` minus the share of differing bits, over all fingerprints.
    """

    first: int
    second: int
    first_start: int
    second_start: int
    first_phase: int
    second_phase: int
    pose: int
    length: int
    score: float
    evidence: float

    @staticmethod
    def on(diagonal: Diagonal, at: int, *, length: int, score: float, evidence: float) -> "Match":
        """A match from fingerprint `at` of a diagonal's first video on."""
        one, other, phase, pose, offset = diagonal
        sides = sorted([(one, at, 0), (other, at - offset, phase)])
        first, first_start, first_phase = sides[0]
        second, second_start, second_phase = sides[1]

        return Match(
            first=first,
            second=second,
            first_start=first_start,
            second_start=second_start,
            first_phase=first_phase,
            second_phase=second_phase,
            pose=pose,
            length=length,
            score=score,
            evidence=evidence,
        )


def find_matches(
    phases: Sequence[Library], bands: Iterable[slice], *, train: int
) -> Iterator[Match]:
    """Find stretches of the first videos that other videos show as well.

    Args:
        phases: The fingerprints of all videos at each phase; those of a video that has no such phase are none.
        bands: Those of `bands_of`; each is gone through once, which takes most of the time.
        train: How many videos, the first ones, are compared with each other and with the rest.

    Yields:
        Matches, sorted by the numbers of their videos; of two videos the one with most evidence first.
    """
    enough = evidence_needed(num_comparisons(phases, train))
    diagonals: set[Diagonal] = set()
    for first, second, phase, pose in candidates(phases, bands, train=train, near=_NEAR):
        diagonals |= _agreeing(phases, first, second, phase, pose, enough / 2)

    for _, group in by_pair(diagonals):
        matches: list[Match] = []
        for diagonal in group:
            matches += _along(phases, diagonal, enough)
        yield from _apart(matches)


def num_comparisons(phases: Sequence[Library], train: int) -> int:
    """The number of pairs of fingerprints that are compared, in all poses."""
    of_train = int(phases[0].starts[train])
    of_all = sum(len(library.bits) for library in phases)
    return of_train * of_all * len(POSES)


def evidence_needed(comparisons: int) -> float:
    """Evidence that chance hardly ever gives; it grows with the logarithm of the number of comparisons."""
    in_tail = max(comparisons, _FEWEST) * _COMMON
    return math.log(in_tail / _FALSE_ALARMS) / _RARER


def _agreeing(
    phases: Sequence[Library], first: Ints, second: Ints, phase: int, pose: int, enough: float
) -> set[Diagonal]:
    """The diagonals of those candidates with evidence around them."""
    gains = _gains_around(phases, first, second, phase, pose)
    # The largest sums back from the candidate and on from it, both of which hold its own gain.
    before = np.cumsum(gains[:, _AROUND::-1], axis=1).max(axis=1)
    after = np.cumsum(gains[:, _AROUND:], axis=1).max(axis=1)
    evidence = before + after - gains[:, _AROUND]

    kept = evidence >= enough
    return set(diagonals_of(phases, first[kept], second[kept], phase, pose))


def _gains_around(
    phases: Sequence[Library], first: Ints, second: Ints, phase: int, pose: int
) -> Floats:
    """The evidence that the fingerprints around candidates add, shape (C, 2 * _AROUND + 1)."""
    known = phases[0]
    queries = phases[phase]
    around = np.arange(-_AROUND, _AROUND + 1)
    rows = first[:, None] + around
    others = second[:, None] + around

    inside_known = known.holds(known.video_of(first), rows)
    inside_queries = queries.holds(queries.video_of(second), others)
    inside = inside_known & inside_queries

    # Row 0 stands in for those outside, which are left out below.
    bits = known.bits[np.where(inside, rows, 0)]
    other_bits = queries.bits[np.where(inside, others, 0)]
    shares = differing(bits, posed(other_bits, pose))
    return np.where(inside & np.isfinite(shares), CHANCE - shares, 0)


def _along(phases: Sequence[Library], diagonal: Diagonal, enough: float) -> Iterator[Match]:
    """Stretches in which two videos agree at an offset."""
    start, found = shares_along(phases, diagonal)
    tells = np.flatnonzero(np.isfinite(found))
    for begin, end, evidence in _stretches(CHANCE - found[tells], enough):
        shares = found[tells[begin:end]]
        # At the ends some fingerprints are half outside.
        limit = (np.median(shares) + CHANCE) / 2
        close = begin + np.flatnonzero(shares <= limit)

        at = int(tells[close[0]])
        last = int(tells[close[-1]])
        score = 1 - 2 * float(shares.mean())
        yield Match.on(diagonal, start + at, length=last - at + 1, score=score, evidence=evidence)


def _stretches(gains: Floats, enough: float) -> Iterator[tuple[int, int, float]]:
    """The stretch with the largest sum, if that is enough, and the same of what lies before and after it.

    Where a sum falls by as much on the way, there are two stretches, and each of them has enough.
    """
    waiting = [(0, len(gains))]
    while waiting:
        begin, end = waiting.pop()
        sums = np.concatenate([[0.0], np.cumsum(gains[begin:end])])

        # The largest rise from any sum before.
        rises = sums - np.minimum.accumulate(sums)
        stop = int(np.argmax(rises))
        start = int(np.argmin(sums[: stop + 1]))

        inner = sums[start : stop + 1]
        gained = inner[-1] - inner[0]
        falls = np.maximum.accumulate(inner) - inner
        if falls.max() >= enough:
            cut = begin + start + int(np.argmax(falls))
            waiting += [(begin, cut), (cut, end)]
        elif gained >= enough:
            yield begin + start, begin + stop, float(gained)
            waiting += [(begin, begin + start), (begin + stop, end)]


def _apart(matches: list[Match]) -> list[Match]:
    """Drop matches that a better one mostly covers: a scene resembles itself a moment later."""
    kept: list[Match] = []
    for match in sorted(matches, key=lambda match: -match.evidence):
        most = match.length / 2
        if all(_shared(match, better) <= most for better in kept):
            kept.append(match)
    return kept


def _shared(match: Match, other: Match) -> int:
    """Fingerprints of the first video in both."""
    start = max(match.first_start, other.first_start)
    stop = min(match.first_start + match.length, other.first_start + other.length)
    return stop - start
