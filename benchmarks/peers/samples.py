"""Frames as one sample of bytes: what a loader that knows nothing of frames can store."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Tensor

Sample = bytes | memoryview
Frames = Sequence[memoryview]


def pack(frames: Sequence[bytes | memoryview]) -> bytes:
    """The number of frames, their sizes in bytes, and their bytes."""
    sizes = [len(frame) for frame in frames]
    return struct.pack(f"<{1 + len(sizes)}I", len(sizes), *sizes) + b"".join(frames)


def unpack(samples: Sample) -> Iterator[Frames]:
    """The frames of samples that lie one after another, as views."""
    view = memoryview(samples)
    start = 0
    while start < len(view):
        (count,) = struct.unpack_from("<I", view, start)
        sizes = struct.unpack_from(f"<{count}I", view, start + 4)
        ends = list(accumulate(sizes, initial=start + 4 * (1 + count)))
        yield [view[at:end] for at, end in pairwise(ends)]
        start = ends[-1]


def clips(frames: Frames, num_frames: int, stride: int) -> Iterator[Frames]:
    """All clips that lie whole in a run of frames."""
    span = (num_frames - 1) * stride + 1
    for start in range(len(frames) - span + 1):
        yield frames[start : start + span : stride]


def as_tensor(samples: Iterable[Sample]) -> Tensor:
    """Samples one after another, (num_bytes,): a tensor leaves a worker through shared memory, bytes through a pipe."""
    return torch.from_numpy(np.frombuffer(bytearray().join(samples), np.uint8))
