"""Encoders of any family, and features of a video file, as the same arithmetic gives them of a packed corpus."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from os import PathLike, fspath
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.configs.ranges import Range
from surgstream.shards.corpus.file import PackConfig
from surgstream.shards.screening.borders import find_border
from surgstream.shards.screening.screener import FrameEvidence
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.frames import JpegFrames
from surgstream.shards.video.sources import VideoFile
from surgstream.trainer.data.augment import ClipTransform, view_windows
from surgstream.trainer.data.config import DecodeConfig
from surgstream.trainer.data.decode import ClipDecoder
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.encoders.choice import load_frozen
from surgstream.trainer.encoders.config import FrozenConfig
from surgstream.trainer.encoders.running import Runner

Jpeg = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoFeatures:
    """Features of a video.

    Attributes:
        seconds: (n,), the moments after the video's first picture.
        vectors: (n, D) float32, the mean of the tokens of the clip that ends at each.
    """

    seconds: npt.NDArray[np.float64]
    vectors: npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class _Numbers:
    """See `features`."""

    every_seconds: Annotated[float, Range(1e-3, 1e6)]
    seconds_apart: Annotated[float, Range(1e-3, 1e6)] | None
    short_side: Annotated[int, Range(16, 2**14)]
    batch_size: Annotated[int, Range(1, 2**16)]


def load_encoder(weights: str | PathLike[str], *, seed: int = 0, **settings: Any) -> FrozenEncoder:
    """Read a frozen encoder of any family: in evaluation mode, without gradients, on the CPU.

    Args:
        weights: A run, a checkpoint, an export, a file or a folder of published weights, `timm:MODEL`, `random` or
            `pixels`; see docs/evaluation.md.
        seed: Decides random weights.
        settings: Keys of a probe's section `encoder`, such as `layout="vjepa2"`; see docs/recipe_keys.md.

    Raises:
        ConfigError: A setting is wrong.
        ModelError: There are no such weights, or they do not fit.

    Example:
        >>> encoder = surgstream.load_encoder("runs/surgvista")
        >>> encoder.tokens(clips).shape  # of (B, 3, T, H, W)
        torch.Size([8, 1568, 768])
    """
    return load_frozen(fspath(weights), build(FrozenConfig, settings, where="encoder"), seed)


def features(
    encoder: FrozenEncoder,
    video: str | PathLike[str],
    *,
    every_seconds: float = 1.0,
    seconds_apart: float | None = None,
    short_side: int = 256,
    batch_size: int = 8,
) -> VideoFeatures:
    """Encode a video file: at each moment the clip that ends there.

    The video is decoded, cropped to what it shows, scaled and compressed as `surgstream pack` does it, and seen as a
    whole. A clip that begins before the video repeats its first frame.

    Args:
        encoder: The encoder, which is moved to the GPU if there is one.
        video: A path, or `s3://BUCKET/KEY`.
        every_seconds: From one moment to the next; a multiple of the time between frames.
        seconds_apart: From one frame of a clip to the next; None is that of the encoder's training.
        short_side: Shorter side of the decoded frames in pixels.
        batch_size: Clips that are encoded at once.

    Raises:
        ConfigError: A number is out of its range, the encoder does not tell the time between its frames, or moments lie
            between frames.
        VideoError: It is no video.

    Example:
        >>> encoder = surgstream.load_encoder("runs/surgvista")
        >>> found = surgstream.features(encoder, "operation.mp4")
        >>> found.vectors.shape
        (3600, 768)
    """
    numbers = {
        "every_seconds": every_seconds,
        "seconds_apart": seconds_apart,
        "short_side": short_side,
        "batch_size": batch_size,
    }
    build(_Numbers, numbers, where="features")

    apart = seconds_apart or _seconds_apart(encoder)
    fps = Fraction(1 / apart).limit_denominator(1000)
    every = every_seconds * float(fps)
    if every < 1 or abs(every - round(every)) > 1e-6:
        raise ConfigError(
            f"every_seconds: expected a multiple of {apart:g} s, the time between frames, got {every_seconds:g}"
        )

    frames = _packed_frames(fspath(video), fps, short_side)
    encode = _Encoding(encoder, batch_size)
    clips = _clips(frames, encoder.num_frames, round(every))
    seconds: list[float] = []
    vectors = [np.empty((0, encoder.pooled_dim), np.float32)]
    while batch := list(islice(clips, batch_size)):
        size = (frames.width, frames.height)
        vectors.append(encode([jpeg for _, clip in batch for jpeg in clip], len(batch), size))
        seconds += [float(number / fps) for number, _ in batch]
    return VideoFeatures(seconds=np.array(seconds), vectors=np.concatenate(vectors))


class _Encoding:
    """From the JPEGs of clips to their vectors, as features of a packed corpus are computed."""

    def __init__(self, encoder: FrozenEncoder, batch_size: int) -> None:
        device = RankInfo().device
        self._runner = Runner(encoder, FrozenConfig(), device)
        self._decoder = ClipDecoder(
            DecodeConfig(),
            max_clips=batch_size,
            num_frames=encoder.num_frames,
            image_size=encoder.image_size,
            device=device,
        )

    def __call__(
        self, jpegs: Sequence[Jpeg], num_clips: int, size: tuple[int, int]
    ) -> npt.NDArray[np.float32]:
        """The vectors (B, D) of B clips, whose frames have one width and height."""
        windows = view_windows("squash", np.array([size] * num_clips))
        clips = self._decoder.decode(jpegs, ClipTransform(windows=windows))
        vectors: npt.NDArray[np.float32] = self._runner.pooled(clips).cpu().numpy()
        return vectors


def _packed_frames(video: str, fps: Fraction, short_side: int) -> JpegFrames[FrameEvidence]:
    """The frames of a file as it would be packed: without black borders, scaled, as JPEGs."""
    film = VideoFile(video, Stores())
    border = find_border(film)
    return JpegFrames(
        film,
        fps=fps,
        short_side=short_side,
        quality=PackConfig().jpeg_quality,
        crop=None if border is None else (border.box, border.shape),
    )


def _seconds_apart(encoder: FrozenEncoder) -> float:
    """Seconds from one frame of a clip to the next in the encoder's training."""
    if encoder.num_frames == 1:
        return 1.0
    if not encoder.fps or not encoder.stride:
        raise ConfigError(
            f"seconds_apart: expected the time between the frames of a clip, as {encoder.name} does not tell that of "
            "its training, got none"
        )
    return encoder.stride / encoder.fps


def _clips(
    frames: JpegFrames[Any], num_frames: int, every: int
) -> Iterator[tuple[int, Sequence[Jpeg]]]:
    """The number of each moment's frame, and the frames of the clip that ends there."""
    seen: deque[Jpeg] = deque(maxlen=num_frames)
    last = None
    for number, data in frames:
        jpeg = np.frombuffer(data, np.uint8)
        # Where pictures are lost a clip begins anew, as a packed video has parts
        is_next = last is not None and number == last + 1
        seen.extend([jpeg] * (1 if is_next else num_frames))
        last = number
        if number % every == 0:
            yield number, tuple(seen)
