"""Films of light that drifts, as unlike each other as their seeds, to be altered and found again."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

Pictures = npt.NDArray[np.uint8]


def drifting(
    seed: int, seconds: int, *, fps: int = 1, size: tuple[int, int] = (96, 72)
) -> Pictures:
    """Six patches of light that each go their own way.

    Args:
        seed: Of their ways.
        seconds: Length.
        fps: Pictures a second; the film is the same at every rate.
        size: Width and height.

    Returns:
        Grey, shape (seconds * fps, H, W).
    """
    keyed = np.random.default_rng(seed)
    turns = np.add.accumulate(
        keyed.normal(size=(seconds + 2, 6, 2)), axis=0
    )  # a new direction each second
    times = np.arange(seconds * fps) / fps
    whole, share = times.astype(int), (times % 1)[:, None, None]
    places = 0.5 + 0.4 * np.sin(turns[whole] * (1 - share) + turns[whole + 1] * share)
    width, height = size
    across = np.exp(-(((np.arange(width) + 0.5) / width - places[..., :1]) ** 2) / 0.02)
    down = np.exp(-(((np.arange(height) + 0.5) / height - places[..., 1:]) ** 2) / 0.02)
    light = np.einsum("tky,tkx,k->tyx", down, across, keyed.uniform(0.5, 1, 6))
    return (60 + 180 * light / light.max()).astype(np.uint8)


def write_film(path: Path, pictures: Pictures, fps: int = 1, codec: str = "libx264") -> Path:
    """Encode grey pictures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(fps))
        stream.height, stream.width = pictures.shape[1:]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 200_000
        for picture in pictures:
            container.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(np.stack([picture] * 3, axis=2), format="rgb24")
                )
            )
        container.mux(stream.encode(None))
    return path
