"""Single pictures that look the same: for videos that are too short, or too still, to be told by how they move.

A picture's fingerprint is of its finer structure, since operations of one kind look alike from afar. It survives coding
and scaling and a little of brightness; a logo, a cut edge or a fast scene half a second on is another picture.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from surgstream.shards.leaks.matching import (
    Diagonal,
    Library,
    Match,
    bands_of,
    by_pair,
    candidates,
    diagonals_of,
    shares_along,
)
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

_LOWEST, _WAVES = 8, 20
"""Frequencies in space, in all directions together, from and below."""

_SUMS = np.add(*np.indices((_WAVES, _WAVES)))
_ROWS, _COLUMNS = (
    axis[(_LOWEST <= _SUMS) & (_SUMS < _WAVES)] for axis in np.indices((_WAVES, _WAVES))
)
_COINS = coins(_ROWS, _COLUMNS) * ((_ROWS + _COLUMNS) ** 1.5).astype(np.float32)[:, None]
"""Fine structure is the weaker the finer it is; so weighted, all of it has a say."""

_BLANK = 0.02
"""Structure, as a share of brightness, below which a picture shows nothing."""

_RAISED = 24
"""Level of grey up to which the darkest of a picture may be a border, since brightening raises it."""

_NEAR, _ALIKE = 0.16, 0.12
"""Shares of bits in which candidates, and in the mean the pictures of a stretch, differ at most."""

_SHARE = 0.5
"""How much of a short video has to be found in another one."""

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
    blocks = [
        _hashes(thumbnails[start : start + _BLOCK], known[start : start + _BLOCK])
        for start in range(0, len(thumbnails), _BLOCK)
    ]
    # The empty one is for videos without any thumbnail
    return np.concatenate([packed(np.zeros((0, _COINS.shape[1]), np.float32)), *blocks])


def _hashes(thumbnails: Grey, known: npt.NDArray[np.bool_]) -> Bits:
    black = np.minimum(thumbnails.min(axis=(1, 2), keepdims=True), _RAISED)
    here = lit(thumbnails - black)
    down, across = (waves(*window(here.mean(axis=axis)), _WAVES) for axis in (2, 1))
    # Shape (N, _WAVES, _WAVES)
    found = down @ thumbnails.astype(np.float32) @ across.swapaxes(1, 2)
    bright, fine = found[:, 0, 0], found[:, _ROWS, _COLUMNS]
    strength = np.sqrt(np.square(fine).sum(axis=1))
    tells = known & (bright >= DARKEST) & (strength >= _BLANK * bright)
    return np.where(tells[:, None], packed(fine @ _COINS), np.uint32(0))


def find_alike(
    phases: Sequence[Library], short: npt.NDArray[np.bool_], *, train: int
) -> Iterator[Match]:
    """Find short videos in others, and others in short ones.

    Args:
        phases: The fingerprints of all videos' pictures at each phase.
        short: Which videos are to be found so, shape (videos,).
        train: See `find_matches`.

    Yields:
        Of two videos, one of them short, the stretch in which they are most alike, if most of the short one is in it.
    """
    if not short.any():
        return
    votes = Counter[Diagonal]()
    for first, second, phase, pose in candidates(
        phases, bands_of(len(phases[0].bits)), train=train, near=_NEAR
    ):
        either = short[phases[0].video_of(first)] | short[phases[phase].video_of(second)]
        votes.update(diagonals_of(phases, first[either], second[either], phase, pose))

    num_pictures = _pictures_in(phases)
    for pair, group in by_pair(votes):
        needed = _SHARE * min(num_pictures[video] for video in pair if short[video])
        likeliest = sorted(group, key=lambda diagonal: -votes[diagonal])[:_LIKELIEST]
        found = [match for diagonal in likeliest if (match := _alike(phases, diagonal, needed))]
        if found:
            yield max(found, key=lambda match: match.score)


def _pictures_in(phases: Sequence[Library]) -> list[int]:
    """How many pictures of each video say something, at phase 0."""
    library = phases[0]
    tells = np.concatenate([[0], np.cumsum(library.bits.any(axis=1))])
    counts: list[int] = (tells[library.starts[1:]] - tells[library.starts[:-1]]).tolist()
    return counts


def _alike(phases: Sequence[Library], diagonal: Diagonal, needed: float) -> Match | None:
    """What two videos show alike at an offset, if it is as many pictures as needed."""
    start, shares = shares_along(phases, diagonal)
    near = np.flatnonzero(shares <= _NEAR)  # NaN is not
    if len(near) < max(1, needed) or shares[near].mean() > _ALIKE:
        return None
    score = 1 - 2 * float(shares[near].mean())
    length = int(near[-1] - near[0]) + 1
    return Match.on(
        diagonal, start + int(near[0]), length=length, score=score, evidence=score * len(near)
    )
