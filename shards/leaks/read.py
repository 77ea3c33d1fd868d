"""The fingerprints of a packed video, taken from its JPEGs or from the video that it was packed from."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from surgstream.shards.errors import VideoError
from surgstream.shards.format.index import read_rows
from surgstream.shards.format.records import PackedVideo
from surgstream.shards.inspection.packed_frames import Placed, read_frames
from surgstream.shards.leaks.fingerprints import prints
from surgstream.shards.leaks.frames import Keys, keys_of
from surgstream.shards.leaks.pictures import hashes
from surgstream.shards.leaks.thumbnails import EDGE, Bits, Grey, thumbnail
from surgstream.shards.storage.stores import Storage, Stores
from surgstream.shards.video.frames import JpegFrames
from surgstream.shards.video.sources import find_film

PHASES = 4
"""The most fingerprints that are taken in a step."""

_MANY = 64
"""Fingerprints of motion that are enough for any corpus: such a video is not looked for by its single pictures."""

_SHORT_SIDE = 128
_QUALITY = 90
"""Of the frames that are taken from a source video."""

_LATE = 1e-6
"""The most that rounding may take from a number of frames or add to it."""

Known = npt.NDArray[np.bool_]

Source = tuple[str, float | None]
"""The address of a video, and its images a second if it is a folder of images."""


@dataclass(frozen=True)
class VideoFingerprints:
    """The fingerprints of a video.

    Attributes:
        motion: Fingerprints of how it moves, at each phase; shapes (N, WORDS).
        pictures: Those of its single pictures; at phase 0 alone where it moves enough.
        keys: See `keys_of`.
        num_pictures: How many pictures were looked at, one a step.
    """

    motion: tuple[Bits, ...]
    pictures: tuple[Bits, ...]
    keys: Keys
    num_pictures: int


def step_seconds(rates: Iterable[float]) -> float:
    """Seconds from one fingerprint to the next: one, or what the slowest video allows.

    Args:
        rates: Frames a second of every video that is compared.
    """
    return max(1.0, 1 / min(rates))


def num_phases(fps: float, step: float) -> int:
    """At how many phases a video is looked at: as often as its frames differ, up to `PHASES`."""
    return max(1, min(PHASES, int(fps * step + _LATE)))


def fingerprint_video(
    storage: Storage, placed: Placed, step: float, source: Source | None = None
) -> VideoFingerprints:
    """Take a video's fingerprints.

    Args:
        storage: The corpus.
        placed: The video.
        step: Seconds from one fingerprint to the next of the same phase.
        source: The video that it was packed from; its packed parts are looked at instead.

    Raises:
        CorruptSampleError: A frame is damaged.
        StorageError: The store fails.
        VideoError: The source cannot be decoded.
    """
    video = placed.video
    if source is None:
        thumbnails, places = _from_shard(storage, placed, step)
    else:
        thumbnails, places = _from_source(source, video, step)

    # Where a place is -1, any thumbnail stands in, and the mask says that it is none.
    seen = [(thumbnails[np.maximum(at, 0)], at >= 0) for at in places]
    motion = tuple(prints(*some) for some in seen)
    moves = int(motion[0].any(axis=1).sum()) >= _MANY
    phases = seen[:1] if moves else seen

    stop = video.first_row + video.num_frames
    rows = read_rows(storage, placed.shard.index_name, video.first_row, stop)
    _, are_there = seen[0]
    return VideoFingerprints(
        motion=motion,
        pictures=tuple(hashes(*some) for some in phases),
        keys=keys_of(rows, video),
        num_pictures=int(are_there.sum()),
    )


def frames_at(
    video: PackedVideo, step: float, phase: float = 0.0
) -> tuple[npt.NDArray[np.int64], Known]:
    """The frames shown every `step` seconds from second `phase` on, and which of them were packed."""
    starts = np.array([part.first_frame for part in video.parts])
    counts = np.array([part.num_frames for part in video.parts])
    end = (starts[-1] + counts[-1]) / video.fps
    seconds = np.arange(phase, end - _LATE, step)
    # Rounding must not lead to the frame before.
    shown = np.floor(seconds * video.fps + _LATE).astype(np.int64)

    # The part that begins last before a frame, which may still end before it.
    part = np.maximum(np.searchsorted(starts, shown, side="right") - 1, 0)
    inside = shown - starts[part]
    known = (inside >= 0) & (inside < counts[part])

    packed_before = np.cumsum(counts)[part] - counts[part]
    return np.where(known, packed_before + inside, 0), known


def _from_shard(
    storage: Storage, placed: Placed, step: float
) -> tuple[Grey, list[npt.NDArray[np.int64]]]:
    """Thumbnails of packed frames, and for each phase which of them it shows, -1 where a frame is not packed."""
    video = placed.video
    phases = num_phases(video.fps, step)
    wanted = [frames_at(video, step, number * step / phases) for number in range(phases)]
    packed = [frames[known] for frames, known in wanted]
    numbers = np.unique(np.concatenate(packed))

    thumbnails = np.zeros((max(1, len(numbers)), EDGE, EDGE), np.uint8)
    for place, jpeg in enumerate(read_frames(storage, placed, numbers.tolist())):
        thumbnails[place] = thumbnail(jpeg)

    places = []
    for frames, known in wanted:
        at = np.searchsorted(numbers, frames)
        places.append(np.where(known, at, -1))
    return thumbnails, places


def _from_source(
    source: Source, video: PackedVideo, step: float
) -> tuple[Grey, list[npt.NDArray[np.int64]]]:
    """Thumbnails of a source, and for each phase which of them it shows, -1 where it was not packed."""
    location, image_fps = source
    fps = PHASES / Fraction(step).limit_denominator(10**6)
    numbers: list[int] = []
    found: list[Grey] = []
    film = find_film(location, Stores(), image_fps=image_fps)
    try:
        for number, jpeg in JpegFrames(film, fps=fps, short_side=_SHORT_SIDE, quality=_QUALITY):
            numbers.append(number)
            found.append(thumbnail(jpeg))
    except VideoError as error:
        raise VideoError(f"{location}: {error}") from None

    # The place of each of the source's frames among the thumbnails; -1 where it is lost.
    places = np.full(numbers[-1] + 1, -1)
    places[numbers] = np.arange(len(numbers))

    phases = []
    for number in range(PHASES):
        _, packed = frames_at(video, step, number * step / PHASES)
        at = np.full(len(packed), -1)
        # Phase n has every PHASES-th frame from n on.
        shown = places[number::PHASES][: len(packed)]
        num_shown = len(shown)
        at[:num_shown] = np.where(packed[:num_shown], shown, -1)
        phases.append(at)

    return np.stack(found), phases
