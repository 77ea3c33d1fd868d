"""Fingerprints of many videos, and the pairs of them that may be of the same, found in about linear time.

Fingerprints that agree in every bit of some band are candidates; sorting finds them.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from surgstream.shards.leaks.thumbnails import POSES, WORDS, Bits, differing, posed, word_order

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

Diagonal = tuple[int, int, int, int, int]
"""Two videos, phase and pose of the second, and the offset: fingerprint n of the second is n + offset of the first."""

_NEIGHBOURS = 32
"""Other fingerprints that one is compared with in each band."""

_BATCH = 1 << 16
"""Candidates that are compared at once."""

_WORD_BYTES = 4


class Library:
    """The fingerprints of many videos, one after the other.

    Attributes:
        bits: Shape (N, WORDS).
        starts: Row of each video's first fingerprint, and N at the end.
    """

    def __init__(self, videos: list[Bits]) -> None:
        """Put them together; the list is emptied, since there is not room for all of them twice."""
        lengths = [len(video) for video in videos]
        self.starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        self.bits = np.zeros((self.starts[-1], WORDS), np.uint32)

        # From the last one on, so that each is freed when it is copied.
        for start in self.starts[-2::-1]:
            video = videos.pop()
            self.bits[start : start + len(video)] = video

    def video_of(self, rows: Ints) -> Ints:
        """The numbers of the videos that rows belong to."""
        return np.searchsorted(self.starts, rows, side="right") - 1

    def holds(self, videos: Ints, rows: Ints) -> npt.NDArray[np.bool_]:
        """Whether rows, shape (C, K), are of their videos, shape (C,)."""
        begins = self.starts[videos, None]
        ends = self.starts[videos + 1, None]
        return (rows >= begins) & (rows < ends)


def bands_of(count: int) -> list[slice]:
    """The bytes of a fingerprint in bands such that few unrelated ones agree in all of a band.

    Args:
        count: Fingerprints in the library.
    """
    width = 4
    if count < 1 << 14:
        width = 2
    elif count < 1 << 23:
        width = 3

    last = _WORD_BYTES * WORDS - width
    return [slice(start, start + width) for start in range(0, last + 1, width)]


def candidates(
    phases: Sequence[Library], bands: Iterable[slice], *, train: int, near: float
) -> Iterator[tuple[Ints, Ints, int, int]]:
    """Pairs of fingerprints of different videos that agree in a band and are near in all bits.

    Each is paired with a few like it and no more, so that what is everywhere does not take quadratic time.

    Args:
        phases: The fingerprints of all videos at each phase.
        bands: Those of `bands_of`.
        train: How many videos, the first ones, are compared with each other and with the rest.
        near: The largest share of bits in which they differ.

    Yields:
        Rows at phase 0, rows at another phase, that phase, and the pose of these.
    """
    known = phases[0]
    for band in bands:
        known_keys, known_rows = _sorted(known.bits, _bytes_in(POSES["upright"])[band])
        for (phase, queries), pose in itertools.product(enumerate(phases), POSES.values()):
            # The band that the fingerprints have in the pose, without posing all of them.
            keys, rows = _sorted(queries.bits, _bytes_in(pose)[band])

            for first, second in _equal_keys(known_keys, known_rows, keys, rows):
                other_bits = posed(queries.bits[second], pose)
                is_near = differing(known.bits[first], other_bits) <= near

                one = known.video_of(first)
                other = queries.video_of(second)
                of_train = np.minimum(one, other) < train
                # At phase 0 both orders of a pair come up, and one of them is enough.
                of_two_videos = one != other if phase else one < other
                kept = is_near & of_two_videos & of_train
                yield first[kept], second[kept], phase, pose


def diagonals_of(
    phases: Sequence[Library], first: Ints, second: Ints, phase: int, pose: int
) -> Iterator[Diagonal]:
    """The diagonal of each pair of rows."""
    known = phases[0]
    queries = phases[phase]
    one = known.video_of(first)
    other = queries.video_of(second)
    at_first = first - known.starts[one]
    at_second = second - queries.starts[other]
    columns = (one, other, at_first - at_second)
    for here, there, offset in zip(*(column.tolist() for column in columns), strict=True):
        yield here, there, phase, pose, offset


def by_pair(diagonals: Iterable[Diagonal]) -> Iterator[tuple[list[int], Iterator[Diagonal]]]:
    """Diagonals of the same two videos together, whichever of them is the first."""
    pairs = sorted(diagonals, key=lambda diagonal: (*sorted(diagonal[:2]), diagonal))
    return itertools.groupby(pairs, key=lambda diagonal: sorted(diagonal[:2]))


def shares_along(phases: Sequence[Library], diagonal: Diagonal) -> tuple[int, Floats]:
    """The first fingerprint of a diagonal's first video on it, and the shares of bits that differ from there on."""
    one, other, phase, pose, offset = diagonal
    known = phases[0]
    queries = phases[phase]
    known_length = int(np.diff(known.starts)[one])
    queries_length = int(np.diff(queries.starts)[other])

    # Of the first video.
    start = max(0, offset)
    stop = min(known_length, queries_length + offset)
    length = stop - start

    here = known.starts[one] + start
    there = queries.starts[other] + start - offset
    its_bits = posed(queries.bits[there : there + length], pose)
    return start, differing(known.bits[here : here + length], its_bits)


def _bytes_in(pose: int) -> Ints:
    """The bytes of a fingerprint in the order of that of the same picture in another pose; shape (4 * WORDS,)."""
    first_bytes = _WORD_BYTES * word_order(pose)
    octets: Ints = first_bytes[:, None] + np.arange(_WORD_BYTES)
    return octets.ravel()


def _sorted(bits: Bits, octets: Ints) -> tuple[Bits, Ints]:
    """Some bytes of each fingerprint as one number, in order, and the rows; of successive equal ones the first."""
    as_bytes = bits.view(np.uint8)
    keys: Bits = np.zeros(len(bits), np.uint32)
    for octet in octets:
        keys = keys << np.uint32(8)
        keys = keys | as_bytes[:, octet]

    # Cut, since there is one difference too many where there are no keys.
    is_first = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
    rows = np.flatnonzero(bits.any(axis=1) & is_first)
    rows = rows[np.argsort(keys[rows], kind="stable")]
    return keys[rows], rows


def _equal_keys(
    known_keys: Bits, known_rows: Ints, keys: Bits, rows: Ints
) -> Iterator[tuple[Ints, Ints]]:
    """Known rows and rows whose keys are equal, in batches; all keys are sorted."""
    # Where those that are equal begin and end among the known keys.
    start = np.searchsorted(known_keys, keys, side="left")
    stop = np.searchsorted(known_keys, keys, side="right")
    found = stop > start
    rows = rows[found]
    start = start[found]
    count = stop[found] - start
    # Of many equal ones each row has others.
    start += rows % np.maximum(1, count - _NEIGHBOURS + 1)

    most = min(_NEIGHBOURS, int(count.max(initial=0)))
    for step in range(most):
        with_another = np.flatnonzero(count > step)
        num_batches = len(with_another) // _BATCH + 1
        for batch in np.array_split(with_another, num_batches):
            yield known_rows[start[batch] + step], rows[batch]
