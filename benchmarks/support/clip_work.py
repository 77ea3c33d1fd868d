"""The input of every way of decoding, and the work that all do alike once they have pixels."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate

from surgstream.benchmarks.support.harness import Case
from surgstream.benchmarks.support.material import (
    IMAGE_SIZE,
    NUM_FRAMES,
    STRIDE,
    encode_video,
    long_corpus,
    shard_frames_of,
)
from surgstream.benchmarks.themes.read_shards import first_clips
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.reading.clips import ClipBytes
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.batch import IMAGENET_MEAN, IMAGENET_STD
from surgstream.trainer.data.augment import ClipTransform, draw_transform
from surgstream.trainer.data.config import AugmentConfig

MEAN = 255 * np.array(IMAGENET_MEAN, np.float32)[:, None, None]
STD = 255 * np.array(IMAGENET_STD, np.float32)[:, None, None]
SCALE = 1 / STD

Clip = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
ReadClip = Callable[[int], Clip]
"""The number of a clip -> its frames (T, C, H, W), normalised."""


@dataclass(frozen=True)
class ClipWork:
    """Clips to decode.

    Attributes:
        clips: Their JPEGs.
        transform: The augmentation of each clip, as training draws it.
        frames: The numbers of each clip's frames in the video, shape (B, T).
        jpegs: All frames of that video.
        folder: The folder of videos.
    """

    clips: tuple[ClipBytes, ...]
    transform: ClipTransform
    frames: npt.NDArray[np.int32]
    jpegs: tuple[bytes, ...]
    folder: Path

    @classmethod
    def make(cls, folder: Path, *, num_clips: int, video_frames: int) -> "ClipWork":
        """Draw clips from a corpus of one long video, augmented as in training."""
        storage = open_storage(str(folder / "one_video"))
        long_corpus(folder, storage, num_shards=1, shard_frames=video_frames)
        clips = first_clips(FrameTable.open(storage), num_clips)
        draws = np.array([clip.draw for clip in clips])
        sizes = np.array([(clip.width, clip.height) for clip in clips])

        # A clip ends with its anchor; before a video's first frame that one is repeated
        anchors = np.array([clip.anchor_frame for clip in clips], np.int32)
        before = STRIDE * np.arange(NUM_FRAMES - 1, -1, -1, dtype=np.int32)
        return cls(
            clips=tuple(clips),
            transform=draw_transform(AugmentConfig(), 0, draws, sizes),
            frames=np.maximum(0, anchors[:, None] - before),
            jpegs=tuple(shard_frames_of(storage, Manifest.load(storage).shards[0])),
            folder=folder,
        )

    def video(self, codec: str, gop_frames: int) -> Path:
        """The frames as a video; see `encode_video`."""
        path = self.folder / f"{codec}_{gop_frames}.mp4"
        return encode_video(self.jpegs, path, codec, gop_frames)

    def augmented(self, number: int, frames: Iterable[Pixels]) -> Clip:
        """Crop, resize and normalise a clip's frames (H, W, C), in the fastest way that was found, on one thread."""
        left, top, right, bottom = self.transform.windows[number]
        windows = np.stack([frame[top:bottom, left:right] for frame in frames])
        cropped = torch.from_numpy(windows).permute(0, 3, 1, 2)
        size = (IMAGE_SIZE, IMAGE_SIZE)
        resized = interpolate(cropped, size, mode="bilinear", antialias=True)

        clip = np.empty(resized.shape, np.float32)
        for frame, pixels in zip(clip, resized.numpy(), strict=True):
            np.subtract(pixels, MEAN, out=frame)
            np.multiply(frame, SCALE, out=frame)
        return clip

    def case(self, name: str, read: ReadClip, threads: int) -> Case:
        """Read all clips, each on one of some threads."""
        pool = ThreadPoolExecutor(threads)

        def run() -> int:
            return sum(1 for _ in pool.map(read, range(len(self.clips))))

        plural = "s" if threads > 1 else ""
        return Case(f"{name}, {threads} thread{plural}", "clips", run)
