"""Frames that are byte for byte the same in two videos, found by their CRC-32 and size in the index of every shard."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surgstream.shards.format.index import Rows
from surgstream.shards.format.records import PackedVideo

Keys = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

_HEADER_BYTES = 650
"""Bytes of a JPEG that are no picture."""

_PIXELS_A_BYTE = 40
"""The most pixels that a byte of a JPEG has, which is where there is one colour alone."""

_FEWEST = 2
"""Different frames in a row that two videos must share, if they have as many; one may be chance, or a slide."""

_GAP_SECONDS = 10
"""Between two shared frames of a stretch; a picture that stands still is counted once."""

_NEIGHBOURS = 32
"""Other frames that one is paired with."""

_SLICES = 16
"""Parts in which all frames are sorted, to save memory."""


@dataclass(frozen=True)
class Equal:
    """A stretch of frames that two videos, by number, share; in seconds after their first pictures."""

    first: int
    second: int
    first_start: float
    second_start: float
    seconds: float


def keys_of(rows: Rows, video: PackedVideo) -> Keys:
    """Keys that tell frames apart: CRC-32 and size; 0 for frames that show nothing, such as black ones.

    Args:
        rows: Those of the video's frames.
        video: The video.
    """
    crcs = rows["crc32"].astype(np.uint64)
    keys = crcs << np.uint64(32) | rows["size"].astype(np.uint64)
    most_of_nothing = _HEADER_BYTES + video.width * video.height / _PIXELS_A_BYTE
    return np.where(rows["size"] > most_of_nothing, keys, np.uint64(0))


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
    # Where each video's frames begin among all, and how many there are.
    lengths = [len(some) for some in keys]
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    rows, others = _pairs(np.concatenate(keys), starts, train)

    first = _video_of(starts, rows)
    second = _video_of(starts, others)
    for one, other, group in _groups(rows, first, second):
        here = rows[group] - starts[one]
        there = others[group] - starts[other]
        seconds = _seconds(videos[one])[here]
        seconds_there = _seconds(videos[other])[there]

        fewest = min(_FEWEST, _different(keys[one]), _different(keys[other]))
        found = _stretches(seconds, seconds_there, keys[one][here], fewest)
        last_frame = 1 / min(videos[one].fps, videos[other].fps)
        for start, start_there, stop in found:
            yield Equal(one, other, start, start_there, stop - start + last_frame)


def _groups(rows: Ints, first: Ints, second: Ints) -> Iterator[tuple[int, int, Ints]]:
    """Two videos, and where their pairs of frames are among all pairs, sorted by row."""
    if not len(rows):
        return
    order = np.lexsort((rows, second, first))
    first_changes = np.diff(first[order]) != 0
    second_changes = np.diff(second[order]) != 0
    begins = np.flatnonzero(first_changes | second_changes) + 1
    for group in np.split(order, begins):
        at = group[0]
        yield int(first[at]), int(second[at]), group


def _video_of(starts: Ints, rows: Ints) -> Ints:
    """The numbers of the videos that rows belong to."""
    return np.searchsorted(starts, rows, side="right") - 1


def _pairs(keys: Keys, starts: Ints, train: int) -> tuple[Ints, Ints]:
    """Rows of equal frames of different videos, the lower first; each with a few others, so that time stays linear."""
    # Of a picture that stands still the first frame counts.
    changed = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
    # So does the first frame of each video, whatever the video before it ends with.
    begins = starts[:-1]
    changed[begins[begins < len(keys)]] = True
    useful = changed & (keys != 0)
    # By the upper 4 bits of the CRC-32, so that equal frames are in the same part.
    parts = keys >> np.uint64(60)

    found: list[tuple[Ints, Ints]] = []
    for part in range(_SLICES):
        rows = np.flatnonzero(useful & (parts == np.uint64(part)))
        rows = rows[np.argsort(keys[rows], kind="stable")]
        for step in range(1, _NEIGHBOURS + 1):
            ahead = keys[rows[step:]]
            same = np.flatnonzero(ahead == keys[rows[:-step]])
            first = rows[same]
            second = rows[same + step]
            video = _video_of(starts, first)
            other = _video_of(starts, second)
            kept = (video != other) & (video < train)
            found.append((first[kept], second[kept]))

    firsts, seconds = zip(*found, strict=True)
    return np.concatenate(firsts), np.concatenate(seconds)


def _different(keys: Keys) -> int:
    """The number of different frames that show something."""
    return len(np.unique(keys[keys != 0]))


def _seconds(video: PackedVideo) -> npt.NDArray[np.float64]:
    """The time of each frame of a video."""
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
        gaps = np.flatnonzero(np.diff(here[at]) > _GAP_SECONDS) + 1
        for run in np.split(at, gaps):
            if _different(keys[run]) >= fewest:
                first = run[0]
                last = run[-1]
                yield float(here[first]), float(there[first]), float(here[last])
