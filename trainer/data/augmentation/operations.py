"""RandAugment's operations on pictures of 8-bit levels, as Pillow does them, on the device of the pictures.

Eight of them give every pixel a new level by its old one: they are tables of 256 levels, for each picture and channel.
What an operation measures on a picture, such as its histogram, it measures on each frame by itself.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from surgstream.trainer.data.augmentation.policy import Operation, OperationDraws
from surgstream.trainer.data.augmentation.warping import WARPS, affine_maps, warp

Kinds = npt.NDArray[np.int64]
Arguments = npt.NDArray[np.float64]

_NUM_LEVELS = 256


def operate(levels: Tensor, draws: OperationDraws) -> Tensor:
    """Apply the operations of some clips, one after another.

    Args:
        levels: (n, T, C, H, W) uint8; C is red, green and blue.
        draws: The operations on the n clips.

    Returns:
        (n, T, C, H, W) uint8, a new tensor.
    """
    levels = levels.clone()
    for kinds, arguments in zip(draws.kinds.T, draws.arguments.T, strict=True):
        for members, apply in _FAMILIES:
            clips = np.flatnonzero(np.isin(kinds, members))
            if clips.size:
                chosen = clips.tolist()
                levels[chosen] = apply(levels[chosen], kinds[clips], arguments[clips])
    return levels


def _look_up(levels: Tensor, kinds: Kinds, arguments: Arguments) -> Tensor:
    """Give every pixel the level that its operation's table has for it."""
    num_clips, num_frames, channels = levels.shape[:3]
    shape = (num_clips, num_frames, channels, _NUM_LEVELS)
    tables = torch.empty(shape, dtype=torch.uint8, device=levels.device)

    for kind in np.unique(kinds):
        clips = np.flatnonzero(kinds == kind).tolist()
        told = torch.from_numpy(arguments[clips]).to(levels.device).view(-1, 1, 1, 1)
        tables[clips] = _TABLES[Operation(kind)](levels[clips], told)

    pixels = levels.flatten(3).long()
    return tables.gather(3, pixels).view_as(levels)


def _warp(levels: Tensor, kinds: Kinds, arguments: Arguments) -> Tensor:
    height, width = levels.shape[-2:]
    return warp(levels, affine_maps(kinds, arguments, height, width))


def _colour(levels: Tensor, _kinds: Kinds, arguments: Arguments) -> Tensor:
    """Blend with the grey picture."""
    return _blend(_grey(levels), levels, _factors(levels, arguments))


def _sharpen(levels: Tensor, _kinds: Kinds, arguments: Arguments) -> Tensor:
    """Blend with the smooth picture."""
    return _blend(_smooth(levels), levels, _factors(levels, arguments))


def _factors(levels: Tensor, arguments: Arguments) -> Tensor:
    """The factors (n, 1, 1, 1, 1) of some clips."""
    return torch.from_numpy(arguments).to(levels.device).view(-1, 1, 1, 1, 1)


def _blend(other: Tensor, picture: Tensor, factor: Tensor) -> Tensor:
    """Compute other + factor (picture - other), in single precision, cut to whole levels."""
    start = other.float()
    # Product and sum are rounded one after the other, as in Pillow: no fused call
    change = factor.float() * (picture.float() - start)
    return (start + change).clamp(0, 255).to(torch.uint8)


def _grey(levels: Tensor) -> Tensor:
    """The luma (n, T, 1, H, W) of ITU-R 601-2, in fixed point."""
    red, green, blue = levels.int().unbind(dim=2)
    luma: Tensor = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16
    return luma.to(torch.uint8).unsqueeze(2)


def _smooth(levels: Tensor) -> Tensor:
    """The mean of 3 x 3 pixels, the middle one counting five times; edges stay."""
    wide = levels.short()
    of_three = wide[..., :-2] + wide[..., 1:-1] + wide[..., 2:]
    of_nine = of_three[..., :-2, :] + of_three[..., 1:-1, :] + of_three[..., 2:, :]
    total = of_nine + 4 * wide[..., 1:-1, 1:-1]

    smooth = levels.clone()
    # total / 13, rounded
    smooth[..., 1:-1, 1:-1] = ((2 * total + 13) // 26).to(torch.uint8)
    return smooth


def _scale(levels: Tensor) -> Tensor:
    """All levels (256,), float64."""
    return torch.arange(_NUM_LEVELS, dtype=torch.float64, device=levels.device)


def _auto_contrast(levels: Tensor, _told: Tensor) -> Tensor:
    """Stretch the levels of each channel to all of 0 to 255."""
    pixels = levels.flatten(3)
    low = pixels.amin(dim=3, keepdim=True).double()
    high = pixels.amax(dim=3, keepdim=True).double()

    level = _scale(levels)
    # A number divided by a tensor would be the product with its rounded inverse
    factor = torch.full_like(low, 255.0) / (high - low)
    stretched = (level * factor + -low * factor).clamp(0, 255)
    return torch.where(high > low, stretched, level).to(torch.uint8)


def _equalize(levels: Tensor, _told: Tensor) -> Tensor:
    """Spread the levels of each channel, so that each range of levels has as many pixels."""
    pixels = levels.flatten(3).long()
    histogram = torch.zeros(
        (*pixels.shape[:3], _NUM_LEVELS), dtype=torch.int64, device=levels.device
    )
    histogram.scatter_add_(3, pixels, torch.ones_like(pixels[..., :1]).expand_as(pixels))

    of_brightest = histogram.gather(3, pixels.amax(dim=3, keepdim=True))
    step = (pixels.shape[3] - of_brightest) // 255
    below = histogram.cumsum(3) - histogram
    spread = ((step // 2 + below) // step.clamp(min=1)).clamp(max=255)

    # One level alone, or too few pixels to spread, stay as they are
    return torch.where(step > 0, spread, _scale(levels).long()).to(torch.uint8)


def _invert(levels: Tensor, _told: Tensor) -> Tensor:
    return (255 - _scale(levels)).to(torch.uint8)


def _posterize(levels: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest bits; with none kept, all is black."""
    step = torch.pow(2.0, 8 - bits)
    return ((_scale(levels) / step).floor() * step).to(torch.uint8)


def _solarize(levels: Tensor, threshold: Tensor) -> Tensor:
    """Invert the levels from a threshold on."""
    level = _scale(levels)
    return torch.where(level < threshold, level, 255 - level).to(torch.uint8)


def _solarize_add(levels: Tensor, added: Tensor) -> Tensor:
    """Brighten the levels below 128."""
    level = _scale(levels)
    return torch.where(level < 128, (level + added).clamp(max=255), level).to(torch.uint8)


def _contrast(levels: Tensor, factor: Tensor) -> Tensor:
    """Blend with the mean luma of each frame."""
    luma = _grey(levels).flatten(2).long()
    mean = (luma.sum(dim=2).double() / luma.shape[2] + 0.5).floor()
    return _blend(mean[..., None, None], _scale(levels), factor)


def _brightness(levels: Tensor, factor: Tensor) -> Tensor:
    """Blend with black."""
    level = _scale(levels)
    return _blend(torch.zeros_like(level), level, factor)


_TABLES: dict[Operation, Callable[[Tensor, Tensor], Tensor]] = {
    Operation.AUTO_CONTRAST: _auto_contrast,
    Operation.EQUALIZE: _equalize,
    Operation.INVERT: _invert,
    Operation.POSTERIZE: _posterize,
    Operation.SOLARIZE: _solarize,
    Operation.SOLARIZE_ADD: _solarize_add,
    Operation.CONTRAST: _contrast,
    Operation.BRIGHTNESS: _brightness,
}
"""From the levels (n, T, C, H, W) of clips and what is told (n, 1, 1, 1) to tables that broadcast to (n, T, C, 256)."""

_FAMILIES: tuple[
    tuple[tuple[Operation, ...], Callable[[Tensor, Kinds, Arguments], Tensor]], ...
] = (
    (tuple(_TABLES), _look_up),
    (WARPS, _warp),
    ((Operation.COLOR,), _colour),
    ((Operation.SHARPNESS,), _sharpen),
)
"""Operations that are applied together, to clips that differ in which of them they have."""
