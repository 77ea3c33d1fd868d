"""Pillow on our JPEGs, and on PNG files, one file a frame, as the published SurgVISTA reads them."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from surgstream.benchmarks.support.clip_work import MEAN, SCALE, Clip, ClipWork, ReadClip
from surgstream.benchmarks.support.material import IMAGE_SIZE


def readers(work: ClipWork) -> dict[str, ReadClip]:
    """Open, crop, resize and normalise frame by frame."""
    files = _as_png_files(work)

    def read(number: int, sources: Sequence[io.BytesIO | Path]) -> Clip:
        window = tuple(work.transform.windows[number].tolist())
        frames = (Image.open(source).convert("RGB").crop(window) for source in sources)
        resized = (
            frame.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR) for frame in frames
        )
        return np.stack(
            [(np.asarray(frame).transpose(2, 0, 1) - MEAN) * SCALE for frame in resized]
        )

    def jpegs(number: int) -> Clip:
        return read(number, [io.BytesIO(frame.tobytes()) for frame in work.clips[number].frames])

    return {
        "Pillow, JPEG bytes": jpegs,
        "Pillow, 16 PNG files": lambda number: read(number, files[number]),
    }


def _as_png_files(work: ClipWork) -> list[list[Path]]:
    folder = work.folder / "png"
    folder.mkdir(exist_ok=True)
    paths = [[folder / f"{number}.png" for number in frames] for frames in work.frames]
    for clip, files in zip(work.clips, paths, strict=True):
        for frame, path in zip(clip.frames, files, strict=True):
            Image.open(io.BytesIO(frame.tobytes())).save(path)
    return paths
