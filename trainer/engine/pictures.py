"""What a model sees and paints, as one image for people."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from surgstream.configs.files import write_atomically

PICTURED_CLIPS = 3

_MARGIN, _GAP, _TILE, _MOST_ACROSS = 96, 4, 112, 12
_INK, _PAPER = (20, 20, 20), (255, 255, 255)


def contact_sheet(
    rows: Mapping[str, Tensor], *, num_clips: int = PICTURED_CLIPS, num_columns: int = 8
) -> Image.Image:
    """Lay out clips as labelled grids: one row a name, frames in time from left to right; short clips side by side.

    Args:
        rows: Names to clips (B, 3, T, H, W) with values in [0, 1].
        num_clips: Clips to show at most.
        num_columns: Frames to show at most, evenly spaced over the clip.

    Returns:
        The picture.
    """
    first = next(iter(rows.values()))
    num_clips, num_columns = min(num_clips, first.shape[0]), min(num_columns, first.shape[2])
    frames = torch.linspace(0, first.shape[2] - 1, num_columns).round().long()

    across = max(1, min(num_clips, _MOST_ACROSS // num_columns))
    # Of one clip: a gap behind every tile, and three more to the next clip.
    width, height = (count * (_TILE + _GAP) + 3 * _GAP for count in (num_columns, len(rows)))
    sheet = Image.new("RGB", (_MARGIN + across * width, -(-num_clips // across) * height), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)

    for clip in range(num_clips):
        left = _MARGIN + clip % across * width
        for row, (name, clips) in enumerate(rows.items()):
            top = clip // across * height + row * (_TILE + _GAP)
            pen.text((_GAP, top + _TILE // 2), name, fill=_INK, font=font, anchor="lm")
            # (C, columns, H, W) in [0, 1] to (columns, H, W, C) bytes.
            pixels = (
                clips[clip, :, frames]
                .float()
                .clamp(0, 1)
                .mul(255)
                .round()
                .byte()
                .permute(1, 2, 3, 0)
                .cpu()
                .numpy()
            )
            for column, frame in enumerate(pixels):
                tile = Image.fromarray(np.ascontiguousarray(frame)).resize(
                    (_TILE, _TILE), Image.Resampling.BICUBIC
                )
                sheet.paste(tile, (left + column * (_TILE + _GAP), top))

    return sheet


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
