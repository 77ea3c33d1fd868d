"""The endoscope of the synthetic corpus: a camera and its own light, above a height field or down a tube."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from surgstream.shards.synthetic.texture import EXTENT, SIZE, Floats, Tissue, ramp


@dataclass(frozen=True, kw_only=True)
class Pull:
    """A grasp: tissue was dragged `by` to where it now is, `at`; both in disc radii."""

    at: tuple[float, float]
    by: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class View:
    """Where the camera is, and what the tissue does, at one moment.

    Attributes:
        look: World point under the disc's centre; in a tube, where the lumen appears, in disc radii.
        distance: From the camera to the world plane; in a tube, how far it has come along it.
        roll: Of the camera about its axis, in radians.
        breath: Phase of breathing, -1 to 1.
        stain: Level of the stain, see `Tissue`.
        pulls: Grasps.
    """

    look: tuple[float, float]
    distance: float
    roll: float
    breath: float
    stain: float
    pulls: tuple[Pull, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the disc's pixels see: linear colour (3, N), and depth along the optical axis (N,) in millimetres."""

    colour: Floats
    depth: Floats


class Camera(Protocol):
    """Looks at one tissue with the pixels of one disc."""

    sway: ClassVar[tuple[float, float, float]]
    """How far a hand-held camera wanders, in the units of `stand`."""

    def stand(self, name: str) -> tuple[float, float, float]:
        """The look (x, y) and the distance from which a landmark is worked on."""

    def see(self, view: View) -> Seen:
        """Render the tissue, without instruments."""

    def project(self, landmark: str, view: View) -> tuple[float, float, float]:
        """Where a landmark that nobody drags appears: x and y in disc radii, and depth in millimetres."""


class FieldCamera:
    """A pinhole camera above a height field: abdomens, eyes."""

    sway: ClassVar = (0.10, 0.08, 0.10)
    focal = 1.5
    millimetres = 40.0
    """Per world unit: an abdomen at a working distance of about 60 mm."""

    def __init__(self, tissue: Tissue, x: Floats, y: Floats) -> None:
        """Point at a tissue.

        Args:
            tissue: The maps.
            x: (N,) float32 positions of the pixels in disc radii, to the right.
            y: (N,) downwards.
        """
        self.tissue, self.x, self.y = tissue, x, y

    def stand(self, name: str) -> tuple[float, float, float]:
        """See `Camera`: close to a landmark, farther for an overview."""
        x, y = self.tissue.landmarks[name]
        return (x, y, 1.75) if name == "overview" else (0.7 * x, 0.7 * y, 1.5)

    def see(self, view: View) -> Seen:
        """See `Camera`."""
        x, y = drag(self.x, self.y, view.pulls)
        c, s = (
            np.float32(np.cos(view.roll) / self.focal),
            np.float32(np.sin(view.roll) / self.focal),
        )
        ray_x, ray_y = c * x - s * y, s * x + c * y
        look_x, look_y, swell = self._breathe(view)

        depth: Floats = np.full_like(x, view.distance)
        for _ in range(
            3
        ):  # the height where a ray lands depends on where it lands: iterate to a fixed point
            index = self._texel(look_x + ray_x * depth, look_y + ray_y * depth)
            depth = (
                np.float32(view.distance)
                - np.float32(swell) * self.tissue.height.reshape(-1)[index]
            )

        colour, slope_x, slope_y, gloss = sample(self.tissue, index, view.stain)
        steep, oblique = _length(slope_x, slope_y), _length(ray_x, ray_y)
        facing = (1 + slope_x * ray_x + slope_y * ray_y) / (steep * oblique)
        half_x, half_y = (
            ray_x - np.float32(0.10),
            ray_y + np.float32(0.16),
        )  # the light sits beside the lens
        mirror = (1 + slope_x * half_x + slope_y * half_y) / (steep * _length(half_x, half_y))
        arriving = np.square(np.float32(view.distance) / (oblique * depth))

        return Seen(
            colour=illuminate(colour, facing, mirror, arriving, gloss),
            depth=depth * self.millimetres,
        )

    def project(self, landmark: str, view: View) -> tuple[float, float, float]:
        """See `Camera`."""
        x, y = self.tissue.landmarks[landmark]
        look_x, look_y, swell = self._breathe(view)
        texel = self._texel(np.array([x], np.float32), np.array([y], np.float32))
        depth = view.distance - swell * float(self.tissue.height.reshape(-1)[texel[0]])
        u, v = self.focal * (x - look_x) / depth, self.focal * (y - look_y) / depth
        c, s = float(np.cos(view.roll)), float(np.sin(view.roll))
        return c * u + s * v, c * v - s * u, depth * self.millimetres

    def _breathe(self, view: View) -> tuple[float, float, float]:
        """The look point moved by breathing, and how much the tissue swells."""
        return view.look[0], view.look[1] + 0.02 * view.breath, 1 + 0.08 * view.breath

    def _texel(self, x: Floats, y: Floats) -> npt.NDArray[np.int32]:
        scale, offset = np.float32((SIZE - 1) / (2 * EXTENT)), np.float32(SIZE / 2)
        column = np.clip(x * scale + offset, 0, SIZE - 1).astype(np.int32)
        row = np.clip(y * scale + offset, 0, SIZE - 1).astype(np.int32)
        texel: npt.NDArray[np.int32] = row * np.int32(SIZE) + column
        return texel


def drag(x: Floats, y: Floats, pulls: tuple[Pull, ...]) -> tuple[Floats, Floats]:
    """Where, if nothing were dragged, the tissue would appear that now appears at x, y (N,)."""
    for pull in pulls:
        near = np.exp(
            -(np.square(x - pull.at[0]) + np.square(y - pull.at[1])) / np.float32(2 * 0.22**2)
        )
        x, y = x - np.float32(pull.by[0]) * near, y - np.float32(pull.by[1]) * near
    return x, y


def sample(
    tissue: Tissue, index: npt.NDArray[np.int32], stain: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """Stained colour (3, N), slopes along columns and along rows (N,), and gloss (N,) of texels (N,)."""
    red, green, blue, slope_across, slope_down, gloss, threshold, _ = tissue.paint[index].T.copy()
    colour = np.stack([red, green, blue])
    colour += (tissue.stain - colour) * (
        tissue.opacity * ramp(np.float32(stain) - threshold, 0, 0.08)
    )
    return colour, slope_across, slope_down, gloss


def illuminate(
    colour: Floats, facing: Floats, mirror: Floats, arriving: Floats, gloss: Floats
) -> Floats:
    """Wet tissue under the endoscope's own light.

    Args:
        colour: (3, N) linear albedo.
        facing: (N,) cosine between the normal and the way to the camera.
        mirror: (N,) cosine between the normal and the half vector of camera and light.
        arriving: (N,) light that arrives, falling with the square of distance.
        gloss: (N,) strength of highlights.

    Returns:
        (3, N) linear colour.
    """
    sheen = np.square(np.square(np.maximum(mirror, 0)))
    highlight = sheen
    # To the 256th power of the cosine, which makes highlights small
    for _ in range(6):
        highlight = highlight * highlight
    return (
        colour * np.maximum(facing, 0.2) + gloss * (highlight + np.float32(0.03) * sheen * sheen)
    ) * arriving


def _length(x: Floats, y: Floats) -> Floats:
    """Length of the vectors (x, y, 1)."""
    length: Floats = np.sqrt(1 + x * x + y * y)
    return length
