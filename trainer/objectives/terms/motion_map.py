"""SurgMotion's map of what moves in a clip beside its camera.

The speed of a pixel is its change in time by its change in space, as in optical flow, so a large change of much texture
may be slow. Where there is hardly any texture speed would be noise, and is 0. The median of a frame stands for the
camera; it adds a little everywhere, and what is a fifth faster adds more.
"""

import torch
from einops import reduce
from torch import Tensor

from surgstream.trainer.models.config import Grid

_STEEPNESS_EPS = 1e-6
_SPEED_EPS = 0.05
_LEAST_STEEPNESS = 0.01
_FASTER = 1.2
_GAIN = 5.0
_MOST_OF_OBJECTS = 0.7
_MOST_OF_CAMERA = 0.3
_REACH = 2


@torch.no_grad()
def motion_map(clips: Tensor, grid: Grid) -> Tensor:
    """How much moves in each token of some clips.

    By the lines of `docs/recipes_next.md`:

        [M1] s  = |x_t - x_(t-1)| / (sqrt(dx² + dy² + 1e-6) + 0.05), 0 where sqrt(..) <= 0.01; frame 0 has frame 1's
                  difference; dx, dy are forward differences, the last one repeated
        [M2] g  = median of s over rows and columns
        [M3] m' = mean over colours of 0.7 tanh(5 max(0, s - 1.2 g)) + min(0.3, tanh(5 g))
        [M4] m  = min(1, G * mean of m' in each tubelet), G a Gaussian in time, row and column: deviation 1 token,
                  5 x 5 x 5, zeros beyond the edge

    Args:
        clips: (B, C, T, H, W), normalised as those of a `ClipBatch`, with two frames or more.
        grid: Their tokens, in slices, rows and columns that divide T, H and W.

    Returns:
        (B, N) in [0, 1], float32, also where bf16 is computed around it.
    """
    # bf16 has no room for differences of neighbouring pixels
    with torch.autocast(clips.device.type, enabled=False):
        speed = _speed(clips.float())
        moving = _moving(speed).mean(1)

        slices, rows, columns = grid
        tokens = reduce(
            moving, "b (s t) (h p) (w q) -> b s h w", "mean", s=slices, h=rows, w=columns
        )
        smooth = torch.einsum("bshw,us,ih,jw->buij", tokens, *(_gaussian(n, clips) for n in grid))
    return smooth.clamp(max=1.0).flatten(1)


def _speed(clips: Tensor) -> Tensor:
    """[M1] of clips: (B, C, T, H, W)."""
    in_time = clips.diff(dim=2).abs()
    change = torch.cat([in_time[:, :, :1], in_time], dim=2)

    across = clips.diff(dim=4)
    across = torch.cat([across, across[..., -1:]], dim=4)
    down = clips.diff(dim=3)
    down = torch.cat([down, down[..., -1:, :]], dim=3)
    steepness = (across.square() + down.square() + _STEEPNESS_EPS).sqrt()

    speed = change / (steepness + _SPEED_EPS)
    return speed * (steepness > _LEAST_STEEPNESS)


def _moving(speed: Tensor) -> Tensor:
    """[M2] and [M3] of speeds, before the mean over colours: (B, C, T, H, W)."""
    camera = _median(speed.flatten(3))[..., None, None]
    of_objects = _MOST_OF_OBJECTS * (_GAIN * (speed - _FASTER * camera).clamp(min=0.0)).tanh()
    of_camera = (_GAIN * camera).tanh().clamp(max=_MOST_OF_CAMERA)
    return of_objects + of_camera


def _median(values: Tensor) -> Tensor:
    """The median over the last axis, the mean of the two in the middle; sorting would take thrice the memory."""
    count = values.shape[-1]
    lower = values.kthvalue((count + 1) // 2).values
    upper = values.kthvalue(count // 2 + 1).values
    return (lower + upper) / 2


def _gaussian(size: int, like: Tensor) -> Tensor:
    """The share (size, size) that each place has of the smoothed value at each; beyond the edge there is nothing."""
    places = torch.arange(size, device=like.device)
    apart = places[:, None] - places
    weights = (-0.5 * apart.square()).exp() * (apart.abs() <= _REACH)

    taps = torch.arange(-_REACH, _REACH + 1, device=like.device)
    return weights / (-0.5 * taps.square()).exp().sum()
