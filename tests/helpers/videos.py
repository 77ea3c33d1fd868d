"""Tiny videos whose frames carry their own number, so that a test can tell which source frame a picture shows."""

import io
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

WIDTH, HEIGHT = 64, 48
BITS = 8


def picture_of(number: int, width: int = WIDTH, height: int = HEIGHT) -> npt.NDArray[np.uint8]:
    """Eight upright bars, white for a one: the number in binary, lowest bit first. Shape (H, W, 3)."""
    bits = number >> np.arange(BITS) & 1
    bar = np.arange(width) * BITS // width
    return np.broadcast_to(
        (bits[bar] * 220 + 15).astype(np.uint8)[None, :, None], (height, width, 3)
    )


def number_in(jpeg: bytes) -> int:
    """The number that `picture_of` drew, read back from a JPEG of any size."""
    grey = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L"), dtype=np.float64)
    bars = np.array_split(grey, BITS, axis=1)
    return sum(
        (bar[:, bar.shape[1] // 4 : -(bar.shape[1] // 4)].mean() > 125) << bit
        for bit, bar in enumerate(bars)
    )


def make_video(
    path: Path,
    pts: Sequence[int] | int,
    *,
    time_base: Fraction = Fraction(1, 25),
    size: tuple[int, int] = (WIDTH, HEIGHT),
    gop: int = 10,
    grain: int = 1,
    codec: str = "libx264",
    movie_options: dict[str, str] | None = None,
    sound_seconds: int = 0,
) -> Path:
    """Write a video; frame n carries the number n modulo 256.

    Args:
        path: Its suffix decides the container.
        pts: The frames' timestamps in units of `time_base`, or how many frames there are, one a unit.
        time_base: Seconds.
        size: Width and height.
        gop: Frames from one key frame to the next.
        grain: Noise is added below this; it makes the file large.
        codec: FFmpeg's name of the encoder.
        movie_options: For the container.
        sound_seconds: Length of a silent sound track; none when 0.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stamps = range(pts) if isinstance(pts, int) else pts
    with av.open(str(path), "w", options=movie_options or {}) as container:
        stream = container.add_stream(codec, rate=1 / time_base)
        stream.width, stream.height, stream.pix_fmt = (
            *size,
            "yuvj420p" if codec == "mjpeg" else "yuv420p",
        )
        stream.time_base = stream.codec_context.time_base = time_base
        stream.codec_context.thread_count = 1
        if codec == "libx264":
            b_frames = "0" if path.suffix == ".avi" else "2"  # AVI cannot say when they are shown
            stream.options = {
                "preset": "veryfast",
                "crf": "20",
                "g": str(gop),
                "bf": b_frames,
                "sc_threshold": "0",
            }
        sound = container.add_stream("pcm_s16le", rate=11025) if sound_seconds else None
        for number, stamp in enumerate(stamps):
            noise = np.random.default_rng(number).integers(
                grain, size=(*size[::-1], 1), dtype=np.uint8
            )
            frame = av.VideoFrame.from_ndarray(
                picture_of(number % 256, *size) + noise, format="rgb24"
            )
            frame.pts, frame.time_base = stamp, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for second in range(sound_seconds):
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 11025), np.int16), format="s16", layout="mono"
            )
            silence.sample_rate, silence.pts = 11025, 11025 * second
            container.mux(sound.encode(silence))
    return path


def cut(path: Path, share: float, *, inside: bool = False) -> Path:
    """Cut off the end of a video before the packet (in the order of the file) at `share`, or in the middle of it."""
    with av.open(str(path)) as container:
        packets = sorted(
            (packet.pos, packet.size) for packet in container.demux(video=0) if packet.size
        )
    position, size = packets[min(round(share * len(packets)), len(packets) - 1)]
    os.truncate(path, position + inside * size // 2)
    return path


def spoil(path: Path) -> Path:
    """Overwrite every packet, so that the header is all that can be read."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.size:
                data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(data)
    return path


def shown_at(stamps: Sequence[Fraction], end: Fraction, fps: Fraction) -> list[int]:
    """By definition and slowly: which frame is on the screen k / fps seconds after the first, for each k before `end`.

    Args:
        stamps: When each frame appears, in seconds.
        end: When the last frame goes, in seconds.
        fps: Frames picked a second.
    """
    picked, k = [], 0
    while stamps[0] + k / fps < end:
        picked.append(max(n for n, stamp in enumerate(stamps) if stamp <= stamps[0] + k / fps))
        k += 1
    return picked
