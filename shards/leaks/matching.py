"""Which stretches of which videos show the same, found from their fingerprints in about linear time.

Fingerprints that agree in every bit of some band are candidates; sorting finds them. Where their other bits and the
fingerprints around them agree as well, the two videos are compared along all of that offset. One video of a pair is
looked at once a second, the other at several phases, since a copy may start between seconds, and in several poses.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surgstream.shards.leaks.thumbnails import POSES, WORDS, Bits, differing, posed, word_order

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
_FEWEST = 500_000
"""Comparisons that a small library is taken to have."""

Diagonal = tuple[int, int, int, int, int]
"""Two videos, phase and pose of the second, and the offset: fingerprint n of the second is n + offset of the first."""


@dataclass(frozen=True)
class Match:
    """Stretches of two videos that show the same.

    Attributes:
        first: Number of a video.
        second: Of another, above it.
        first_start: Its first fingerprint in the stretch.
        second_start: The other's.
        first_phase: Which of its phases the first's fingerprints are of.
        second_phase: Which the other's are of; one of both is 0.
        pose: One of `POSES`: how the one lies, seen from the other.
        length: Fingerprints.
        score: 1 where all their bits agree, 0 where half of them do, as by chance.
        evidence: What `CHANCE` leaves of the shares of bits that differ, added up.
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
        first, second = sorted([(one, at, 0), (other, at - offset, phase)])
        return Match(
            first=first[0],
            second=second[0],
            first_start=first[1],
            second_start=second[1],
            first_phase=first[2],
            second_phase=second[2],
            pose=pose,
            length=length,
            score=score,
            evidence=evidence,
        )


class Library:
    """The fingerprints of many videos, one after the other.

    Attributes:
        bits: Shape (N, WORDS).
        starts: Row of each video's first fingerprint, and N at the end.
    """

    def __init__(self, videos: list[Bits]) -> None:
        """Put them together; the list is emptied, since there is not room for all of them twice."""
        self.starts = np.concatenate(
            [[0], np.cumsum([len(video) for video in videos], dtype=np.int64)]
        )
        self.bits = np.zeros((self.starts[-1], WORDS), np.uint32)
        # From the last one on, so that each is freed when it is copied
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
        yield from _apart(
            [match for diagonal in group for match in _along(phases, diagonal, enough)]
        )


def num_comparisons(phases: Sequence[Library], train: int) -> int:
    """How many pairs of fingerprints are compared, in all poses."""
    return int(phases[0].starts[train]) * sum(len(library.bits) for library in phases) * len(POSES)


def evidence_needed(comparisons: int) -> float:
    """Evidence that chance hardly ever gives: it grows with the logarithm of how much is compared."""
    return math.log(max(comparisons, _FEWEST) * _COMMON / _FALSE_ALARMS) / _RARER


def by_pair(diagonals: Iterable[Diagonal]) -> Iterator[tuple[list[int], Iterator[Diagonal]]]:
    """Diagonals of the same two videos together, whichever of them is the first."""
    pairs = sorted(diagonals, key=lambda diagonal: (*sorted(diagonal[:2]), diagonal))
    return itertools.groupby(pairs, key=lambda diagonal: sorted(diagonal[:2]))


def candidates(
    phases: Sequence[Library], bands: Iterable[slice], *, train: int, near: float
) -> Iterator[tuple[Ints, Ints, int, int]]:
    """Pairs of fingerprints of different videos that agree in a band and are near in all bits.

    Each is paired with a few like it and no more, so that what is everywhere does not take quadratic time.

    Args:
        phases: See `find_matches`.
        bands: See there.
        train: See there.
        near: The largest share of bits in which they differ.

    Yields:
        Rows at phase 0, rows at another phase, that phase, and the pose of these.
    """
    known = phases[0]
    for band in bands:
        known_keys, known_rows = _sorted(known.bits, np.arange(4 * WORDS)[band])
        for (phase, queries), pose in itertools.product(enumerate(phases), POSES.values()):
            # The band that the fingerprints have in the pose, without posing all of them
            keys, rows = _sorted(
                queries.bits, (4 * word_order(pose)[:, None] + np.arange(4)).ravel()[band]
            )
            # Where among the known keys those that are equal begin and end, for each query
            start, stop = (
                np.searchsorted(known_keys, keys, side=side) for side in ("left", "right")
            )
            found = stop > start
            rows, start, count = rows[found], start[found], (stop - start)[found]
            start += rows % np.maximum(
                1, count - _NEIGHBOURS + 1
            )  # not the same few of many for all

            for step in range(min(_NEIGHBOURS, int(count.max(initial=0)))):
                some = np.flatnonzero(count > step)
                for batch in np.array_split(some, len(some) // _BATCH + 1):
                    first, second = known_rows[start[batch] + step], rows[batch]
                    kept = differing(known.bits[first], posed(queries.bits[second], pose)) <= near
                    one, other = known.video_of(first), queries.video_of(second)
                    kept &= (one < other) | (
                        (one > other) & (phase > 0)
                    )  # at phase 0 in one order only
                    kept &= np.minimum(one, other) < train
                    yield first[kept], second[kept], phase, pose


def _sorted(bits: Bits, octets: Ints) -> tuple[Bits, Ints]:
    """Some bytes of each fingerprint as one number, in order, and the rows; of successive equal ones the first."""
    keys: Bits = np.zeros(len(bits), np.uint32)
    for octet in octets:
        keys = keys << np.uint32(8) | bits.view(np.uint8)[:, octet]
    rows = np.flatnonzero(bits.any(axis=1) & np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    rows = rows[np.argsort(keys[rows], kind="stable")]
    return keys[rows], rows


def _agreeing(
    phases: Sequence[Library], first: Ints, second: Ints, phase: int, pose: int, enough: float
) -> set[Diagonal]:
    """Of candidates, the diagonals of those with evidence around them."""
    known, queries = phases[0], phases[phase]
    one, other = known.video_of(first), queries.video_of(second)
    around = np.arange(-_AROUND, _AROUND + 1)
    # Shape (C, 2 * _AROUND + 1)
    rows, others = first[:, None] + around, second[:, None] + around
    inside = known.holds(one, rows) & queries.holds(other, others)
    shares = differing(
        known.bits[np.where(inside, rows, 0)],
        posed(queries.bits[np.where(inside, others, 0)], pose),
    )
    gains = np.where(inside & np.isfinite(shares), CHANCE - shares, 0)

    # The largest sums back from the candidate and on from it, of which both hold its own gain
    before = np.cumsum(gains[:, _AROUND::-1], axis=1).max(axis=1)
    after = np.cumsum(gains[:, _AROUND:], axis=1).max(axis=1)
    kept = before + after - gains[:, _AROUND] >= enough
    return set(diagonals_of(phases, first[kept], second[kept], phase, pose))


def diagonals_of(
    phases: Sequence[Library], first: Ints, second: Ints, phase: int, pose: int
) -> Iterator[Diagonal]:
    """The diagonal of each pair of rows."""
    known, queries = phases[0], phases[phase]
    one, other = known.video_of(first), queries.video_of(second)
    offsets = (first - known.starts[one]) - (second - queries.starts[other])
    for here, there, offset in zip(one.tolist(), other.tolist(), offsets.tolist(), strict=True):
        yield here, there, phase, pose, offset


def _along(phases: Sequence[Library], diagonal: Diagonal, enough: float) -> Iterator[Match]:
    """Where two videos agree at an offset."""
    start, found = shares_along(phases, diagonal)
    tells = np.flatnonzero(np.isfinite(found))
    for begin, end, evidence in _stretches(CHANCE - found[tells], enough):
        shares = found[tells[begin:end]]
        close = begin + np.flatnonzero(
            shares <= (np.median(shares) + CHANCE) / 2
        )  # at the ends some are half outside
        yield Match.on(
            diagonal,
            start + int(tells[close[0]]),
            length=int(tells[close[-1]] - tells[close[0]]) + 1,
            score=1 - 2 * float(shares.mean()),
            evidence=evidence,
        )


def shares_along(phases: Sequence[Library], diagonal: Diagonal) -> tuple[int, Floats]:
    """The first fingerprint of a diagonal's first video on it, and the shares of bits that differ from there on."""
    one, other, phase, pose, offset = diagonal
    known, queries = phases[0], phases[phase]
    start = max(0, offset)
    stop = min(int(np.diff(known.starts)[one]), int(np.diff(queries.starts)[other]) + offset)
    here, there = known.starts[one] + start, queries.starts[other] + start - offset
    length = stop - start
    return start, differing(
        known.bits[here : here + length], posed(queries.bits[there : there + length], pose)
    )


def _stretches(gains: Floats, enough: float) -> Iterator[tuple[int, int, float]]:
    """The stretch with the largest sum, if that is enough, and the same of what lies before and after it.

    Where a sum falls by as much on the way, there are two stretches, and each of them has enough.
    """
    waiting = [(0, len(gains))]
    while waiting:
        begin, end = waiting.pop()
        sums = np.concatenate([[0.0], np.cumsum(gains[begin:end])])
        # The largest rise from any sum before
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
