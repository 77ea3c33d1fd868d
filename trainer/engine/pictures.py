"""Pictures of what a model sees and predicts."""

import io
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from surgstream.configs.files import write_atomically

PICTURED_CLIPS = 3

_MARGIN = 96
_GAP = 4
_TILE = 112
_MAX_ACROSS = 12
_INK = (20, 20, 20)
_PAPER = (255, 255, 255)


def contact_sheet(
    rows: Mapping[str, Tensor], *, num_clips: int = PICTURED_CLIPS, num_columns: int = 8
) -> Image.Image:
    """Lay out clips as labelled grids: one row a name, frames from left to right; short clips stand side by side.

    Args:
        rows: Names to clips (B, 3, T, H, W) with values in [0, 1].
        num_clips: Clips to show at most.
        num_columns: Frames to show at most, evenly spaced over the clip.

    Returns:
        The picture.
    """
    first = next(iter(rows.values()))
    num_clips = min(num_clips, first.shape[0])
    num_frames = first.shape[2]
    num_columns = min(num_columns, num_frames)
    frames = torch.linspace(0, num_frames - 1, num_columns).round().long()

    # A gap follows every tile, and three more follow every clip.
    width = num_columns * (_TILE + _GAP) + 3 * _GAP
    height = len(rows) * (_TILE + _GAP) + 3 * _GAP
    across = max(1, min(num_clips, _MAX_ACROSS // num_columns))
    down = math.ceil(num_clips / across)

    sheet = Image.new("RGB", (_MARGIN + across * width, down * height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)

    for clip in range(num_clips):
        left = _MARGIN + clip % across * width
        for row, (name, clips) in enumerate(rows.items()):
            top = clip // across * height + row * (_TILE + _GAP)
            pen.text((_GAP, top + _TILE // 2), name, fill=_INK, font=font, anchor="lm")
            for column, tile in enumerate(_tiles(clips[clip, :, frames])):
                sheet.paste(tile, (left + column * (_TILE + _GAP), top))

    return sheet


def _tiles(frames: Tensor) -> list[Image.Image]:
    """Frames (C, num, H, W) with values in [0, 1] as pictures of one size."""
    levels = frames.float().clamp(0, 1).mul(255).round().byte()
    pixels = levels.permute(1, 2, 3, 0).cpu().numpy()
    images = [Image.fromarray(np.ascontiguousarray(frame)) for frame in pixels]
    return [image.resize((_TILE, _TILE), Image.Resampling.BICUBIC) for image in images]


def save_picture(path: Path, sheet: Image.Image) -> Tensor:
    """Write a picture as PNG, whole or not at all.

    Returns:
        The pixels (3, H, W), uint8.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = io.BytesIO()
    sheet.save(encoded, format="PNG")
    write_atomically(path, encoded.getvalue())
    return torch.from_numpy(np.array(sheet)).permute(2, 0, 1)
