"""Instruments of the synthetic corpus: a shaft from the disc's border, and a tip with jaws, a hook, a loop, a blade."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from surgstream.shards.synthetic.texture import Colour, Floats, light

STEEL: Colour = (0.66, 0.66, 0.68)
BLACK: Colour = (0.13, 0.13, 0.15)
COLLAR = 0.07
"""Length of the steel collar between tip and shaft, in disc radii."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One kind of instrument; lengths in disc radii.

    Attributes:
        name: As in the labels.
        tip: Shape of what lies before the shaft.
        width: Half the shaft's width.
        length: Of the tip.
        opening: Half the distance between open jaws at their ends, or half the height of an open loop.
        shaft: Display colour of the shaft.
    """

    name: str
    tip: Literal["jaws", "hook", "needle", "loop", "blade"]
    width: float = 0.055
    length: float = 0.26
    opening: float = 0.13
    shaft: Colour = BLACK


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Where an instrument is at one moment.

    Attributes:
        entry: Where its axis enters the picture, in disc radii.
        tip: Where it ends.
        opened: How far its jaws are open, 0 to 1.
        tip_depth: Depth of its tip in millimetres.
    """

    entry: tuple[float, float]
    tip: tuple[float, float]
    opened: float
    tip_depth: float


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """An instrument's pixels.

    Attributes:
        index: (M,) which of the disc's pixels.
        cover: (M,) how much of each is covered, 0 to 1.
        colour: (3, M) linear colour.
        depth: (M,) millimetres.
        shadow: (N,) light that reaches each of the disc's pixels past the instrument, 0 to 1.
    """

    index: npt.NDArray[np.intp]
    cover: Floats
    colour: Floats
    depth: Floats
    shadow: Floats


def draw(tool: Tool, pose: Pose, x: Floats, y: Floats, pixel: float) -> Drawn:
    """Draw an instrument.

    Args:
        tool: Its kind.
        pose: Its place.
        x: (N,) positions of the disc's pixels in disc radii, to the right.
        y: (N,) downwards.
        pixel: Size of a pixel in disc radii.

    Returns:
        The covered pixels and the shadow.
    """
    along_x, along_y = pose.entry[0] - pose.tip[0], pose.entry[1] - pose.tip[1]
    reach = max(float(np.hypot(along_x, along_y)), 1e-3)
    along_x, along_y = along_x / reach, along_y / reach

    # How far behind the tip each pixel is along the shaft, and how far beside its axis
    behind = (x - pose.tip[0]) * along_x + (y - pose.tip[1]) * along_y
    beside = (y - pose.tip[1]) * along_x - (x - pose.tip[0]) * along_y

    # A soft shadow on one side, which widens with the distance from the tip
    cast = (beside + 0.03 + 0.07 * np.maximum(behind, 0)) / (
        1.5 * tool.width + 0.06 * np.maximum(behind, 0)
    )
    shadow = 1 - 0.45 * np.exp(-cast * cast) * np.clip(behind / 0.1 + 0.7, 0, 1)

    # From here on only the pixels that may be covered
    widest = max(tool.width * 1.8, tool.opening * 1.2, 0.3 * tool.length)
    index = np.flatnonzero((behind > -pixel) & (np.abs(beside) < widest))
    a, b = behind[index], beside[index]
    centre, half = _outline(tool, pose.opened, a, b)
    # The edge is a pixel wide, so that it is smooth
    cover = np.clip(0.5 + (half - np.abs(b - centre)) / pixel, 0, 1) * np.clip(
        0.5 + a / pixel, 0, 1
    )

    across = np.clip((b - centre) / np.maximum(half, 1e-4), -1, 1)
    axis = pose.tip_depth * (1 - 0.6 * np.clip(a / 1.8, 0, 1))
    # A cylinder comes nearer in its middle; a disc radius is about 40 mm
    depth = np.maximum(axis - 40 * tool.width * np.sqrt(1 - across * across), 1)
    colour = _metal(tool, a, across) * np.clip(np.square(45 / depth), 0.35, 1.3)
    return Drawn(index=index, cover=cover, colour=colour, depth=depth, shadow=shadow)


def _outline(tool: Tool, opened: float, a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Centre line and half width, at distance `a` behind the tip, of the part of the instrument nearest to `b`."""
    # 0 at the tip, 1 where the shaft begins
    part = np.clip(a / tool.length, 0, 1)
    side = np.where(b < 0, np.float32(-1), np.float32(1))
    shaft = tool.width * (1 + 0.35 * np.maximum(a - tool.length, 0))

    if tool.tip == "jaws":
        centre = side * (tool.opening * opened * (1 - part) + 0.35 * tool.width * np.sqrt(part))
        half = tool.width * (0.28 + 0.42 * np.sqrt(part))
    elif tool.tip == "hook":
        bent = part < 0.2
        centre = np.where(bent, 0.22 * tool.length, 0).astype(np.float32)
        half = np.where(
            bent, 0.25 * tool.length, 0.25 * tool.width + 0.2 * tool.width * part
        ).astype(np.float32)
    elif tool.tip == "loop":
        bow = np.sqrt(np.maximum(1 - np.square(2 * part - 1), 0))
        centre = side * (0.02 + tool.opening * opened) * bow
        half = 0.014 + 0.02 * (1 - bow) ** 2
    elif tool.tip == "blade":
        centre, half = (
            np.zeros_like(a),
            tool.width * (0.05 + 1.3 * np.minimum(part * 1.3, 1) - 0.6 * part**3),
        )
    else:
        centre, half = np.zeros_like(a), tool.width * (0.22 + 0.5 * part)

    on_shaft = a > tool.length
    return np.where(on_shaft, 0, centre).astype(np.float32), np.where(on_shaft, shaft, half).astype(
        np.float32
    )


def _metal(tool: Tool, a: Floats, across: Floats) -> Floats:
    """Colour of a lit cylinder: bright streaks along a dark or steel body, a collar and a joint behind the tip."""
    behind = a - tool.length
    body = np.where(behind > COLLAR, light(tool.shaft).reshape(3, 1), light(STEEL).reshape(3, 1))
    rings = 0.6 * np.exp(-np.square(behind / 0.012)) + 0.5 * np.exp(
        -np.square((behind - COLLAR) / 0.01)
    )
    teeth = 1 + 0.25 * np.sin(a * 170) * (a < 0.8 * tool.length) * (tool.tip == "jaws")
    streak = np.exp(-np.square((across + 0.4) / 0.16)) + 0.35 * np.exp(
        -np.square((across - 0.55) / 0.14)
    )
    shaded = 0.18 + 0.62 * np.sqrt(1 - across * across)
    shine = light((0.95, 0.92, 0.92)).reshape(3, 1) * (0.12 + np.sqrt(body.max(axis=0))) * streak
    metal: Floats = (body * shaded * teeth + shine * (0.7 + 0.3 * np.sin(9 * a))) * (1 - rings)
    return metal
