"""Instruments of the synthetic corpus: a shaft from the disc's border, and a tip with jaws, a hook, a loop, a blade."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from surgstream.shards.synthetic.texture import Colour, Floats, light

STEEL: Colour = (0.66, 0.66, 0.68)
BLACK: Colour = (0.13, 0.13, 0.15)
WHITE: Colour = (0.80, 0.82, 0.86)
COLLAR = 0.07
"""Length of the steel collar between tip and shaft, in disc radii."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One kind of instrument; lengths in disc radii.

    Attributes:
        name: Its name in the labels.
        tip: Shape of the part before the shaft.
        width: Half the shaft's width.
        length: Length of the tip.
        opening: Half the distance between open jaws at their ends, or half the height of an open loop.
        shaft: Display colour of the shaft.
    """

    name: str
    tip: Literal["jaws", "hook", "needle", "loop", "blade"]
    width: float = 0.055
    length: float = 0.26
    opening: float = 0.13
    shaft: Colour = BLACK


TOOLS = {
    tool.name: tool
    for tool in (
        Tool(name="grasper", tip="jaws", length=0.34),
        Tool(name="hook", tip="hook", length=0.24),
        Tool(name="clipper", tip="jaws", width=0.062, length=0.22, opening=0.09),
        Tool(name="scissors", tip="jaws", width=0.05, length=0.24, opening=0.15),
        Tool(name="irrigator", tip="needle", width=0.065, length=0.08, shaft=STEEL),
        Tool(
            name="bipolar",
            tip="jaws",
            width=0.055,
            length=0.20,
            opening=0.10,
            shaft=(0.16, 0.22, 0.42),
        ),
        Tool(name="stapler", tip="jaws", width=0.085, length=0.50, opening=0.12),
        Tool(name="knife", tip="blade", width=0.05, length=0.26, shaft=STEEL),
        Tool(name="forceps", tip="jaws", width=0.03, length=0.30, opening=0.08, shaft=STEEL),
        Tool(name="phaco_probe", tip="needle", width=0.05, length=0.22, shaft=(0.30, 0.52, 0.74)),
        Tool(name="chopper", tip="hook", width=0.028, length=0.14, shaft=STEEL),
        Tool(name="lens_injector", tip="needle", width=0.09, length=0.30, shaft=(0.35, 0.60, 0.70)),
        Tool(name="cannula", tip="needle", width=0.03, length=0.30, shaft=STEEL),
        Tool(
            name="biopsy_forceps",
            tip="jaws",
            width=0.06,
            length=0.13,
            opening=0.09,
            shaft=(0.85, 0.62, 0.18),
        ),
        Tool(name="snare", tip="loop", width=0.055, length=0.42, opening=0.17, shaft=WHITE),
        Tool(name="injection_needle", tip="needle", width=0.05, length=0.16, shaft=WHITE),
    )
}
"""The instruments by their names."""


@dataclass(frozen=True, kw_only=True)
class Pose:
    """The pose of an instrument at one moment.

    Attributes:
        entry: Point where its axis enters the picture, in disc radii.
        tip: Point where it ends.
        opened: Opening of its jaws, 0 to 1.
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
        index: (M,) numbers of pixels of the disc.
        cover: (M,) covered share of each, 0 to 1.
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
        tool: The instrument.
        pose: Its pose.
        x: (N,) positions of the disc's pixels in disc radii, to the right.
        y: (N,) downwards.
        pixel: Size of a pixel in disc radii.

    Returns:
        The covered pixels and the shadow.
    """
    tip_x, tip_y = pose.tip
    along_x = pose.entry[0] - tip_x
    along_y = pose.entry[1] - tip_y
    reach = max(float(np.hypot(along_x, along_y)), 1e-3)
    along_x /= reach
    along_y /= reach

    # Distances of each pixel from the tip along the shaft, and from the shaft's axis.
    behind = (x - tip_x) * along_x + (y - tip_y) * along_y
    beside = (y - tip_y) * along_x - (x - tip_x) * along_y
    shadow = _shadow(tool, behind, beside)

    # From here on only the pixels that may be covered.
    widest = max(tool.width * 1.8, tool.opening * 1.2, 0.3 * tool.length)
    index = np.flatnonzero((behind > -pixel) & (np.abs(beside) < widest))
    a = behind[index]
    b = beside[index]
    centre, half = _outline(tool, pose.opened, a, b)

    # Edges are a pixel wide, so that they are smooth.
    inside = np.clip(0.5 + (half - np.abs(b - centre)) / pixel, 0, 1)
    past_tip = np.clip(0.5 + a / pixel, 0, 1)
    cover = inside * past_tip

    # A cylinder comes nearer in its middle; a disc radius is about 40 mm.
    across = np.clip((b - centre) / np.maximum(half, 1e-4), -1, 1)
    axis = pose.tip_depth * (1 - 0.6 * np.clip(a / 1.8, 0, 1))
    depth = np.maximum(axis - 40 * tool.width * np.sqrt(1 - across * across), 1)

    colour = _metal(tool, a, across) * np.clip(np.square(45 / depth), 0.35, 1.3)
    return Drawn(index=index, cover=cover, colour=colour, depth=depth, shadow=shadow)


def _shadow(tool: Tool, behind: Floats, beside: Floats) -> Floats:
    """Cast a soft shadow on one side, which widens with the distance from the tip."""
    distance = np.maximum(behind, 0)
    cast = (beside + 0.03 + 0.07 * distance) / (1.5 * tool.width + 0.06 * distance)
    begun = np.clip(behind / 0.1 + 0.7, 0, 1)
    shadow: Floats = 1 - 0.45 * np.exp(-cast * cast) * begun
    return shadow


def _outline(tool: Tool, opened: float, a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Compute centre line and half width, at distance `a` behind the tip, of the part that is nearest to `b`."""
    # 0 at the tip, 1 where the shaft begins.
    part = np.clip(a / tool.length, 0, 1)
    side = np.where(b < 0, np.float32(-1), np.float32(1))
    shaft = tool.width * (1 + 0.35 * np.maximum(a - tool.length, 0))

    if tool.tip == "jaws":
        centre = side * (tool.opening * opened * (1 - part) + 0.35 * tool.width * np.sqrt(part))
        half = tool.width * (0.28 + 0.42 * np.sqrt(part))
    elif tool.tip == "hook":
        bent = part < 0.2
        straight = 0.25 * tool.width + 0.2 * tool.width * part
        centre = np.where(bent, 0.22 * tool.length, 0).astype(np.float32)
        half = np.where(bent, 0.25 * tool.length, straight).astype(np.float32)
    elif tool.tip == "loop":
        bow = np.sqrt(np.maximum(1 - np.square(2 * part - 1), 0))
        centre = side * (0.02 + tool.opening * opened) * bow
        half = 0.014 + 0.02 * (1 - bow) ** 2
    elif tool.tip == "blade":
        centre = np.zeros_like(a)
        half = tool.width * (0.05 + 1.3 * np.minimum(part * 1.3, 1) - 0.6 * part**3)
    else:
        centre = np.zeros_like(a)
        half = tool.width * (0.22 + 0.5 * part)

    on_shaft = a > tool.length
    centre = np.where(on_shaft, 0, centre)
    half = np.where(on_shaft, shaft, half)
    return centre.astype(np.float32), half.astype(np.float32)


def _metal(tool: Tool, a: Floats, across: Floats) -> Floats:
    """Light a cylinder: bright streaks along a dark or steel body, a collar and a joint behind the tip."""
    behind = a - tool.length
    shaft = light(tool.shaft).reshape(3, 1)
    steel = light(STEEL).reshape(3, 1)
    body = np.where(behind > COLLAR, shaft, steel)
    shaded = 0.18 + 0.62 * np.sqrt(1 - across * across)
    teeth = 1 + 0.25 * np.sin(a * 170) * (a < 0.8 * tool.length) * (tool.tip == "jaws")

    joint = 0.6 * np.exp(-np.square(behind / 0.012))
    collar_end = 0.5 * np.exp(-np.square((behind - COLLAR) / 0.01))
    rings = joint + collar_end

    bright = np.exp(-np.square((across + 0.4) / 0.16))
    faint = 0.35 * np.exp(-np.square((across - 0.55) / 0.14))
    streak = bright + faint
    lamp = light((0.95, 0.92, 0.92)).reshape(3, 1)
    shine = lamp * (0.12 + np.sqrt(body.max(axis=0))) * streak

    uneven = 0.7 + 0.3 * np.sin(9 * a)
    metal: Floats = (body * shaded * teeth + shine * uneven) * (1 - rings)
    return metal
