"""Fingerprints of a packed video, from its JPEGs."""

import io
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from PIL import Image

from shards.leaks.prints import EDGE, Bits, Grey, prints
from shards.look.frames import Placed, read_frames
from shards.packed import PackedVideo
from shards.storage import Storage

_LATE = 1e-6


def step_seconds(rates: Iterable[float]) -> float:
    """Seconds from one fingerprint to the next: one, or what the slowest video allows.

    Args:
        rates: Frames a second of every video that is compared.
    """
    return max(1.0, 1 / min(rates))


def read_prints(storage: Storage, placed: Placed, step: float) -> Bits:
    """Fingerprints of a video.

    Args:
        storage: The corpus.
        placed: The video.
        step: Seconds from one to the next.

    Returns:
        As `prints`.

    Raises:
        CorruptSampleError: A frame is damaged.
        StorageError: The store fails.
    """
    numbers, known = frames_at(placed.video, step)
    thumbnails = np.zeros((len(numbers), EDGE, EDGE), np.uint8)
    jpegs = read_frames(storage, placed, numbers[known].tolist())
    for place, jpeg in zip(np.flatnonzero(known), jpegs, strict=True):
        thumbnails[place] = _thumbnail(jpeg)
    return prints(thumbnails, known)


def frames_at(video: PackedVideo, step: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The frames shown every `step` seconds, counted from the video's first, and which of them were packed."""
    starts = np.array([part.first_frame for part in video.parts])
    counts = np.array([part.num_frames for part in video.parts])
    seconds = np.arange(0, (starts[-1] + counts[-1]) / video.fps - _LATE, step)
    shown = np.floor(seconds * video.fps + _LATE).astype(np.int64)
    part = np.maximum(np.searchsorted(starts, shown, side="right") - 1, 0)
    inside = shown - starts[part]
    known = (inside >= 0) & (inside < counts[part])
    return np.where(known, np.cumsum(counts)[part] - counts[part] + inside, 0), known


def _thumbnail(jpeg: bytes) -> Grey:
    """Grey, shape (EDGE, EDGE); the decoder itself halves the picture as often as it can."""
    image = Image.open(io.BytesIO(jpeg))
    image.draft("L", (EDGE, EDGE))
    return np.asarray(image.convert("L").resize((EDGE, EDGE), Image.Resampling.BOX))
