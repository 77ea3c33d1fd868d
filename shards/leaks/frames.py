"""Frames that are byte for byte the same in two videos, found by their CRC-32 and size in the index of every shard."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surgstream.shards.format.index import Rows
from surgstream.shards.format.records import PackedVideo

Keys = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

_HEADER_BYTES, _PIXELS_A_BYTE = 650, 40
"""Of a JPEG: what is no picture, and how many pixels take a byte where there is nothing but one colour, at most."""

_FEWEST = 2
"""Different frames in a row that two videos share; one may be chance, or a slide. All of a video are enough as well."""

_GAP_SECONDS = 10
"""Between two shared frames of a stretch; a picture that stands still is counted once."""

_NEIGHBOURS, _SLICES = 32, 16
"""Others that a frame is paired with, and parts in which all frames are sorted, to save memory."""


@dataclass(frozen=True)
class Equal:
    """A stretch of frames that two videos, by number, share; in seconds after their first pictures."""

    first: int
    second: int
    first_start: float
    second_start: float
    seconds: float


def keys_of(rows: Rows, video: PackedVideo) -> Keys:
    """What tells frames apart: CRC-32 and size; 0 for those that show nothing, such as black ones.

    Args:
        rows: Those of the video's frames.
        video: The video.
    """
    keys = rows["crc32"].astype(np.uint64) << np.uint64(32) | rows["size"].astype(np.uint64)
    shows = rows["size"] > _HEADER_BYTES + video.width * video.height / _PIXELS_A_BYTE
    return np.where(shows, keys, np.uint64(0))


def find_equal(
    keys: Sequence[Keys], videos: Sequence[PackedVideo], *, train: int
) -> Iterator[Equal]:
    """Find frames that videos share, at any length.

    Args:
        keys: Those of every video's frames.
        videos: The videos.
        train: How many videos, the first ones, are compared with each other and with the rest.

    Yields:
        Stretches, by the numbers of their videos.
    """
    # Where each video's frames begin among all, and how many there are
    starts = np.concatenate([[0], np.cumsum([len(some) for some in keys], dtype=np.int64)])
    rows, others = _pairs(np.concatenate(keys), starts, train)
    first, second = (np.searchsorted(starts, side, side="right") - 1 for side in (rows, others))

    # Sorted by pairs of videos, each of which is one group
    order = np.lexsort((rows, second, first))
    rows, others, first, second = rows[order], others[order], first[order], second[order]
    changes = np.flatnonzero((np.diff(first) != 0) | (np.diff(second) != 0)) + 1

    for group in np.split(np.arange(len(rows)), changes) if len(rows) else ():
        one, other = int(first[group[0]]), int(second[group[0]])
        here, there = rows[group] - starts[one], others[group] - starts[other]
        fewest = min(_FEWEST, _different(keys[one]), _different(keys[other]))
        times = _seconds(videos[one])[here], _seconds(videos[other])[there]
        for start, start_there, stop in _stretches(*times, keys[one][here], fewest):
            frame = 1 / min(videos[one].fps, videos[other].fps)
            yield Equal(one, other, start, start_there, stop - start + frame)


def _pairs(keys: Keys, starts: Ints, train: int) -> tuple[Ints, Ints]:
    """Rows of equal frames of different videos, the lower first; each with a few others, so that time stays linear."""
    changed = np.append(True, keys[1:] != keys[:-1])[
        : len(keys)
    ]  # of a picture that stands still the first counts
    # So does the first of each video, whatever the one before it ends with
    changed[starts[:-1][starts[:-1] < len(keys)]] = True
    useful, found = changed & (keys != 0), []

    for part in range(_SLICES):
        # By the upper 4 bits of the CRC-32: equal frames are in the same part
        rows = np.flatnonzero(useful & (keys >> np.uint64(60) == np.uint64(part)))
        rows = rows[np.argsort(keys[rows], kind="stable")]
        for step in range(1, _NEIGHBOURS + 1):
            same = np.flatnonzero(keys[rows[step:]] == keys[rows[:-step]])
            first, second = rows[same], rows[same + step]
            video, other = (
                np.searchsorted(starts, side, side="right") - 1 for side in (first, second)
            )
            kept = (video != other) & (video < train)
            found.append((first[kept], second[kept]))

    return np.concatenate([first for first, _ in found]), np.concatenate(
        [second for _, second in found]
    )


def _different(keys: Keys) -> int:
    """How many different frames there are that show something."""
    return len(np.unique(keys[keys != 0]))


def _seconds(video: PackedVideo) -> npt.NDArray[np.float64]:
    """When each frame of a video is shown."""
    numbers = [
        np.arange(part.first_frame, part.first_frame + part.num_frames) for part in video.parts
    ]
    return np.concatenate(numbers) / video.fps


def _stretches(
    here: npt.NDArray[np.float64], there: npt.NDArray[np.float64], keys: Keys, fewest: int
) -> Iterator[tuple[float, float, float]]:
    """Start in both videos and stop, in the first, of what they share at one offset."""
    offsets = np.round(here - there, 3)
    for offset in np.unique(offsets):
        at = np.flatnonzero(offsets == offset)
        for run in np.split(at, np.flatnonzero(np.diff(here[at]) > _GAP_SECONDS) + 1):
            if _different(keys[run]) >= fewest:
                yield float(here[run[0]]), float(there[run[0]]), float(here[run[-1]])
