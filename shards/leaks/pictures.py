"""Single pictures that look the same: for videos that are too short, or too still, to be told by how they move.

A picture's fingerprint is of its finer structure, since operations of one kind look alike from afar. It survives coding
and scaling and a little of brightness; a logo, a cut edge or a fast scene half a second on is another picture.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from surgstream.shards.leaks.candidates import (
    Diagonal,
    Library,
    bands_of,
    by_pair,
    candidates,
    diagonals_of,
    shares_along,
)
from surgstream.shards.leaks.matching import Match
from surgstream.shards.leaks.thumbnails import (
    DARKEST,
    Bits,
    Grey,
    coins,
    lit,
    packed,
    waves,
    window,
)

_LOWEST = 8
_WAVES = 20
"""Frequencies in space, in all directions together, from `_LOWEST` on and below `_WAVES`."""

_DOWN, _ACROSS = np.indices((_WAVES, _WAVES))
_USED = (_LOWEST <= _DOWN + _ACROSS) & (_DOWN + _ACROSS < _WAVES)
_ROWS = _DOWN[_USED]
_COLUMNS = _ACROSS[_USED]

_WEIGHTS = ((_ROWS + _COLUMNS) ** 1.5).astype(np.float32)
"""Structure is weaker the finer it is; with these weights all frequencies count."""

_COINS = coins(_ROWS, _COLUMNS) * _WEIGHTS[:, None]

_BLANK = 0.02
"""Structure, as a share of brightness, below which a picture shows nothing."""

_RAISED = 24
"""Level of grey up to which the darkest of a picture may be a border, since brightening raises it."""

_NEAR = 0.16
"""The largest share of bits in which candidates differ."""

_ALIKE = 0.12
"""The largest share of bits in which the pictures of a stretch differ, in the mean."""

_SHARE = 0.5
"""The share of a short video that has to be found in another one."""

_LIKELIEST = 8
"""Offsets at which two videos are compared: those with the most candidates."""

_BLOCK = 256
"""Fingerprints taken at once."""


def hashes(thumbnails: Grey, known: npt.NDArray[np.bool_]) -> Bits:
    """Fingerprints of single pictures.

    Args:
        thumbnails: Shape (N, EDGE, EDGE).
        known: Which of them there are, shape (N,).

    Returns:
        Shape (N, WORDS); zeros where there is none, and for what is dark or of one colour.
    """
    blocks = []
    for start in range(0, len(thumbnails), _BLOCK):
        block = slice(start, start + _BLOCK)
        blocks.append(_hashes(thumbnails[block], known[block]))
    # The empty block is for videos without any thumbnail.
    empty = packed(np.zeros((0, _COINS.shape[1]), np.float32))
    return np.concatenate([empty, *blocks])


def _hashes(thumbnails: Grey, known: npt.NDArray[np.bool_]) -> Bits:
    black = np.minimum(thumbnails.min(axis=(1, 2), keepdims=True), _RAISED)
    here = lit(thumbnails - black)
    down = waves(*window(here.mean(axis=2)), _WAVES)
    across = waves(*window(here.mean(axis=1)), _WAVES)
    # Shape (N, _WAVES, _WAVES).
    found = down @ thumbnails.astype(np.float32) @ across.swapaxes(1, 2)

    bright = found[:, 0, 0]
    fine = found[:, _ROWS, _COLUMNS]
    strength = np.sqrt(np.square(fine).sum(axis=1))
    tells = known & (bright >= DARKEST) & (strength >= _BLANK * bright)
    return np.where(tells[:, None], packed(fine @ _COINS), np.uint32(0))


def find_alike(
    phases: Sequence[Library], short: npt.NDArray[np.bool_], *, train: int
) -> Iterator[Match]:
    """Find short videos in others, and others in short ones.

    Args:
        phases: The fingerprints of all videos' pictures at each phase.
        short: Which videos are to be found by their pictures, shape (videos,).
        train: See `find_matches`.

    Yields:
        Of two videos, one of them short, the stretch in which they are most alike, if most of the short one is in it.
    """
    if not short.any():
        return
    known = phases[0]
    bands = bands_of(len(known.bits))
    votes = Counter[Diagonal]()
    for first, second, phase, pose in candidates(phases, bands, train=train, near=_NEAR):
        queries = phases[phase]
        either = short[known.video_of(first)] | short[queries.video_of(second)]
        votes.update(diagonals_of(phases, first[either], second[either], phase, pose))

    num_pictures = _pictures_in(phases)
    for pair, group in by_pair(votes):
        lengths = [num_pictures[video] for video in pair if short[video]]
        needed = _SHARE * min(lengths)
        likeliest = sorted(group, key=lambda diagonal: -votes[diagonal])[:_LIKELIEST]
        tried = [_alike(phases, diagonal, needed) for diagonal in likeliest]
        found = [match for match in tried if match is not None]
        if found:
            yield max(found, key=lambda match: match.score)


def _pictures_in(phases: Sequence[Library]) -> list[int]:
    """The number of telling pictures of each video, at phase 0."""
    library = phases[0]
    tells = np.concatenate([[0], np.cumsum(library.bits.any(axis=1))])
    counts: list[int] = np.diff(tells[library.starts]).tolist()
    return counts


def _alike(phases: Sequence[Library], diagonal: Diagonal, needed: float) -> Match | None:
    """The stretch in which two videos look alike at an offset, if it has as many pictures as needed."""
    start, shares = shares_along(phases, diagonal)
    near = np.flatnonzero(shares <= _NEAR)  # NaN is not
    if len(near) < max(1, needed):
        return None
    mean = shares[near].mean()
    if mean > _ALIKE:
        return None

    score = 1 - 2 * float(mean)
    length = int(near[-1] - near[0]) + 1
    at = start + int(near[0])
    return Match.on(diagonal, at, length=length, score=score, evidence=score * len(near))
