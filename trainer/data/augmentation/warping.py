"""Rotation, shear and translation of pictures, by the bicubic interpolation of Pillow's `Image.transform`."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from surgstream.trainer.data.augmentation.policy import Operation

Maps = npt.NDArray[np.float64]

FILL = 128
"""Level of what lies outside of the picture."""

_TAPS = (-1, 0, 1, 2)
"""Places that are read along an axis, from that on the left of a point."""

WARPS = (
    Operation.ROTATE,
    Operation.SHEAR_X,
    Operation.SHEAR_Y,
    Operation.TRANSLATE_X,
    Operation.TRANSLATE_Y,
)


def affine_maps(
    kinds: npt.NDArray[np.int64],
    arguments: npt.NDArray[np.float64],
    height: int,
    width: int,
) -> Maps:
    """Where each pixel of the result is read from.

    Args:
        kinds: (n,) operations of `WARPS`.
        arguments: (n,) what each is told; see `policy.argument`.
        height: Height of the pictures in pixels.
        width: Their width.

    Returns:
        (n, 2, 3): the centre (x, y) of a pixel is read from A (x, y, 1), A being column by row.
    """
    maps = np.zeros((len(kinds), 2, 3))
    maps[:, (0, 1), (0, 1)] = 1.0

    for number, (kind, told) in enumerate(zip(kinds, arguments, strict=True)):
        match kind:
            case Operation.SHEAR_X:
                maps[number, 0, 1] = told
            case Operation.SHEAR_Y:
                maps[number, 1, 0] = told
            case Operation.TRANSLATE_X:
                maps[number, 0, 2] = told * width
            case Operation.TRANSLATE_Y:
                maps[number, 1, 2] = told * height
            case _:
                maps[number] = _rotation(told, height, width)
    return maps


def _rotation(degrees: float, height: int, width: int) -> Maps:
    """The map (2, 3) of a counter-clockwise rotation around the centre of the picture."""
    angle = -np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = np.array([width / 2, height / 2])
    return np.concatenate([turn, (centre - turn @ centre)[:, None]], axis=1)


def warp(levels: Tensor, maps: Maps) -> Tensor:
    """Move the pictures of some clips.

    What the interpolation of Keys with a = -1 gives is cut to whole levels, as in Pillow; beyond its edge a picture
    repeats its outermost pixels, and results whose point lies outside of it are grey.

    Args:
        levels: (n, T, C, H, W) uint8.
        maps: (n, 2, 3); see `affine_maps`.

    Returns:
        (n, T, C, H, W) uint8.
    """
    moves = maps != np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    across, down = moves.any(axis=2).T

    # Most maps move along one axis alone, where 4 places are read for a pixel in place of 16
    result = levels.clone()
    for chosen, in_columns, in_rows in (
        (across & ~down, True, False),
        (~across & down, False, True),
        (across & down, True, True),
    ):
        clips = np.flatnonzero(chosen).tolist()
        if clips:
            result[clips] = _warped(levels[clips], maps[clips], in_columns, in_rows)
    return result


def _warped(levels: Tensor, maps: Maps, across: bool, down: bool) -> Tensor:
    """Move pictures along columns, along rows, or along both."""
    num_clips, num_frames, channels, height, width = levels.shape
    x, y = _points(maps, height, width, levels.device)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)

    # A pixel of all frames is one row, since all of them are read at the same places
    pixels = levels.permute(0, 3, 4, 1, 2).reshape(-1, num_frames * channels)
    first = torch.arange(num_clips, device=levels.device)[:, None, None] * (height * width)

    left, right_share = _split(x)
    top, lower_share = _split(y)

    def row(step: int) -> Tensor:
        """The points of the rows `step` below those of the points."""
        start = first + (top + step).clamp(0, height - 1) * width

        def column(step: int) -> Tensor:
            places = start + (left + step).clamp(0, width - 1)
            return pixels[places.flatten()].float()

        return _cubic([column(step) for step in _TAPS], right_share) if across else column(0)

    values = _cubic([row(step) for step in _TAPS], lower_share) if down else row(0)

    warped = values.clamp_(0, 255).to(torch.uint8)
    warped = torch.where(inside.view(-1, 1), warped, FILL).to(torch.uint8)
    warped = warped.view(num_clips, height, width, num_frames, channels)
    return warped.permute(0, 3, 4, 1, 2)


def _points(maps: Maps, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The points (x, y), each (n, H, W) float64, that pixels are read from."""
    a = torch.from_numpy(maps).to(device)[..., None, None]
    x = torch.arange(width, dtype=torch.float64, device=device) + 0.5
    y = torch.arange(height, dtype=torch.float64, device=device)[:, None] + 0.5
    columns, rows = (a[:, i, 0] * x + a[:, i, 1] * y + a[:, i, 2] for i in range(2))
    return columns, rows


def _split(points: Tensor) -> tuple[Tensor, Tensor]:
    """The pixel whose centre comes before each point, and the share (N, 1) of the way to the next one's."""
    centred = points - 0.5
    pixel = centred.floor()
    share = (centred - pixel).float()
    return pixel.long(), share.view(-1, 1)


def _cubic(values: list[Tensor], share: Tensor) -> Tensor:
    """Interpolate between the second and the third of four values (N, D), exactly where all of them are equal.

    It overwrites the values.
    """
    square = share * share
    cube = square * share
    weights = (2 * square - share - cube, None, share + square - cube, cube - square)

    base = values[1]
    result = base.clone()
    for value, weight in zip(values, weights, strict=True):
        if weight is not None:
            result.addcmul_(value.sub_(base), weight)
    return result
