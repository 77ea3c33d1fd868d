"""Painted tissue for the synthetic corpus: noise, organs, vessels, and the maps a camera looks at.

Tissue is painted once for a video and only looked up for its frames. The numbers here and in the other modules of this
folder were chosen by eye, next to recordings of real operations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from surgstream.shards.keyed_random import UInt64, hash64, uniform

Floats = npt.NDArray[np.floating[Any]]
Colour = tuple[float, float, float]

SIZE = 1024
"""Texels along each side of a height field's maps."""

EXTENT = 2.0
"""The maps cover [-EXTENT, EXTENT]^2, in radii of the endoscope's disc at the usual working distance."""


def key(parent: UInt64 | int, *words: str | int) -> UInt64:
    """Make a key for `shards.keyed_random` out of words, so that every random choice of a video has a readable name."""
    for word in words:
        parts = list(word.encode()) if isinstance(word, str) else [word]
        parent = hash64(parent, len(parts), *parts)
    return np.asarray(parent, dtype=np.uint64)


def between(parent: UInt64, low: float, high: float) -> float:
    """Draw one uniform number in [low, high)."""
    return low + (high - low) * float(uniform(parent, 1)[0])


def noise(parent: UInt64, shape: tuple[int, int], low: int, high: int, slope: float) -> Floats:
    """Make a smooth random field that tiles: a random spectrum with energy between two frequencies.

    Args:
        parent: The key of the field.
        shape: (rows, columns) of the field, each more than twice `high`.
        low: Fewest cycles over the field.
        high: Most cycles over the field.
        slope: Amplitude falls as frequency^-slope.

    Returns:
        float32 array of `shape`, mean 0 and standard deviation 1.
    """
    across = np.arange(high + 1)
    down = np.arange(-high, high + 1)
    frequency = np.hypot(down[:, None], across[None, :])
    angle = 2 * np.pi * uniform(parent, frequency.size).reshape(frequency.shape)
    is_in_band = (frequency >= low) & (frequency <= high)
    amplitude = np.where(is_in_band, np.maximum(frequency, 1.0) ** -slope, 0.0)

    # Half a spectrum, since the field is real; its last rows are the negative frequencies.
    rows, columns = shape
    spectrum = np.zeros((rows, columns // 2 + 1), dtype=np.complex64)
    spectrum[np.ix_(down % rows, across)] = amplitude * np.exp(1j * angle)
    field: Floats = np.fft.irfft2(spectrum, s=shape)
    return (field / np.std(field)).astype(np.float32)


def blurs(field: Floats, sigmas: Sequence[float]) -> list[Floats]:
    """Blur a field by Gaussians, each on its own, with mirrored borders; `sigmas` in texels."""
    rows, columns = field.shape
    # The blur wraps around, and so meets the mirror image at every border.
    mirrored = np.pad(field, ((0, rows), (0, columns)), mode="symmetric")
    spectrum = np.fft.rfft2(mirrored)

    down = np.fft.fftfreq(2 * rows)[:, None]
    across = np.fft.rfftfreq(2 * columns)[None, :]
    squared = down**2 + across**2

    blurred = []
    for sigma in sigmas:
        # The Fourier transform of a Gaussian.
        gain = np.exp(-2 * (np.pi * sigma) ** 2 * squared).astype(np.float32)
        # Rows of the mirror image are not transformed back.
        halfway = np.fft.ifft(spectrum * gain, axis=0)[:rows]
        whole: Floats = np.fft.irfft(halfway, 2 * columns)
        blurred.append(whole[:, :columns].astype(np.float32))
    return blurred


def ramp(x: Floats, low: float, high: float) -> Floats:
    """Compute a smooth step: 0 at `low`, 1 at `high`, and flat outside; `low` may be the larger one."""
    t: Floats = np.clip((x - np.float32(low)) / np.float32(high - low), 0, 1)
    return t * t * (3 - 2 * t)


def light(colour: Colour) -> Floats:
    """Convert a display colour in [0, 1] to linear light, shape (3, 1, 1); the camera's tone curve is a square root."""
    return np.square(np.array(colour, dtype=np.float32)).reshape(3, 1, 1)


def redden(colour: Floats, amount: Floats) -> Floats:
    """Cover a colour (3, ...) with blood vessels by `amount`, 0 to 1: they absorb green and blue the most."""
    absorbed = np.array([0.45, 0.85, 0.75], np.float32).reshape(3, 1, 1)
    return colour * (1 - amount * absorbed)


def vessels(veins: Floats, width: Floats) -> Floats:
    """Draw a branching net of thin lines, 1 on a vessel: the zero crossings of a smooth field."""
    return np.exp(-np.square(veins / width))


@dataclass(frozen=True, kw_only=True)
class Tissue:
    """The maps that a camera looks at.

    Attributes:
        height: (R, S) height above the world plane; in a tube, the wall's distance from the axis.
        paint: (R * S, 8) float32 rows: linear red, green, blue, slopes across columns and down rows, gloss, stain
            threshold, and one unused, so that a row is 32 bytes.
        landmarks: Named places in world units: x and y; in a tube, the angle and the place along it.
        stain: (3, 1) linear colour of blood, or of a lens's cloud, which shows where its level exceeds the threshold.
        opacity: Opacity of the stain, 0 to 1.
    """

    height: Floats
    paint: Floats
    landmarks: Mapping[str, tuple[float, float]]
    stain: Floats
    opacity: float


def rows_of_paint(
    colour: Floats, slope_across: Floats, slope_down: Floats, gloss: Floats, threshold: Floats
) -> Floats:
    """Make `Tissue.paint` of maps (R, S), and (3, R, S) for the colour; steep slopes are cut, for softer rims."""
    slopes = np.clip([slope_across, slope_down], -3, 3)
    maps = [*np.clip(colour, 0, 1), *slopes, gloss, np.maximum(threshold, 0), np.zeros_like(gloss)]
    return np.stack(maps, axis=-1, dtype=np.float32).reshape(-1, len(maps))


@dataclass(frozen=True, kw_only=True)
class Organ:
    """One rounded organ lying in the scene: an ellipsoid that noise makes irregular.

    Attributes:
        centre: Its centre in world units.
        radii: Radii of its outline.
        angle: Angle of its first radius, in radians.
        base: Height of its rim.
        rise: Height of its top above the rim.
        colours: The two display colours of its mottled surface.
        vessels: Visibility of vessels, 0 to 1.
        lobules: Depth of the furrows of fat.
        gloss: Strength of highlights.
        grain: Strength of its fine speckle.
    """

    centre: tuple[float, float]
    radii: tuple[float, float]
    colours: tuple[Colour, Colour]
    angle: float = 0.0
    base: float = 0.0
    rise: float = 0.3
    vessels: float = 0.3
    lobules: float = 0.0
    gloss: float = 1.0
    grain: float = 0.09


class Canvas:
    """Maps of a height field that is being painted, and the noise for it."""

    def __init__(self, parent: UInt64) -> None:
        """Start with a bottomless black world."""
        axis = np.linspace(-EXTENT, EXTENT, SIZE, dtype=np.float32)
        self.x, self.y = np.meshgrid(axis, axis)
        shape = (SIZE, SIZE)
        self.coarse = noise(key(parent, "coarse"), shape, 1, 8, 1.5)
        self.patches = noise(key(parent, "patches"), shape, 1, 8, 1.5)
        self.medium = noise(key(parent, "medium"), shape, 6, 60, 1.0)
        self.lumps = noise(key(parent, "lumps"), shape, 8, 16, 1.0)
        self.veins = noise(key(parent, "veins"), shape, 5, 70, 1.7)
        self.speckle = noise(key(parent, "speckle"), shape, 50, 250, 0.5)

        self.height: Floats = np.full(shape, -9, np.float32)
        self.bump: Floats = np.zeros(shape, np.float32)
        self.gloss: Floats = np.ones(shape, np.float32)
        self.colour: Floats = np.zeros((3, *shape), np.float32)

    @cached_property
    def vessels(self) -> Floats:
        """Vessels of uneven thickness, in some patches more than in others."""
        width = 0.05 + 0.07 * np.clip(self.coarse + 0.3, 0, 2)
        return vessels(self.veins, width) * ramp(self.patches + 0.3 * self.medium, -0.9, 0.3)

    @cached_property
    def _mottling(self) -> Floats:
        """Share of an organ's second colour."""
        return ramp(0.6 * self.medium + self.patches, -1.5, 1.5)

    @cached_property
    def _wet(self) -> Floats:
        return 0.3 + ramp(self.patches, 0.2, 1.5)

    def lay(self, organ: Organ) -> None:
        """Paint an organ over everything that lies lower."""
        x = self.x - organ.centre[0] + 0.07 * self.coarse
        y = self.y - organ.centre[1] + 0.07 * self.patches

        # In the organ's own axes and radii.
        c = float(np.cos(organ.angle))
        s = float(np.sin(organ.angle))
        u = (c * x + s * y) / organ.radii[0]
        v = (c * y - s * x) / organ.radii[1]
        dome = np.sqrt(np.clip(1 - u * u - v * v, 0, 1))

        there = _bounds(dome > 0)
        dome = dome[there]
        medium = self.medium[there]
        speckle = self.speckle[there]

        depth = 0.035 * organ.lobules
        lines = np.exp(-np.square(1.5 * self.lumps[there] + 0.3 * medium))
        furrows = depth * lines * ramp(dome, 0, 0.5)
        top = organ.base + organ.rise * dome - furrows
        inside = (dome > 0) & (top > self.height[there])

        bump = 0.0013 * (1 + 2 * organ.lobules) * medium + 0.0007 * self._wet[there] * speckle

        first, second = (light(colour) for colour in organ.colours)
        mottled = first + (second - first) * self._mottling[there]
        grain = 1 + organ.grain * speckle + 0.06 * medium
        colour = redden(mottled * grain, organ.vessels * self.vessels[there])

        np.copyto(self.height[there], top, where=inside)
        np.copyto(self.bump[there], bump, where=inside)
        np.copyto(self.gloss[there], np.float32(organ.gloss), where=inside)
        np.copyto(self.colour[:, *there], colour, where=inside)

    def finish(
        self,
        landmarks: Mapping[str, tuple[float, float]],
        stain: Colour,
        opacity: float,
        threshold: Floats,
    ) -> Tissue:
        """Darken the creases and return the maps that a camera needs; the arguments are `Tissue`'s."""
        # The depth of each place below its near and its wide surroundings.
        around, far_around, height = blurs(self.height, (14, 50, 2.5))
        near = np.clip(around - self.height, 0, 1)
        wide = np.clip(far_around - self.height, 0, 1)
        shaded = self.colour / (1 + 10 * near + 12 * wide)

        texel = np.float32(2 * EXTENT / SIZE)
        slope_y, slope_x = map(np.asarray, np.gradient(height + self.bump, texel))

        return Tissue(
            height=height,
            paint=rows_of_paint(shaded, slope_x, slope_y, self.gloss, threshold),
            landmarks=landmarks,
            stain=light(stain).reshape(3, 1),
            opacity=opacity,
        )


def _bounds(where: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    """Find the rows and columns that hold all places of a map (R, S); none where there is no place."""
    rows = np.flatnonzero(where.any(axis=1))
    columns = np.flatnonzero(where.any(axis=0))
    if not rows.size:
        return slice(0), slice(0)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
