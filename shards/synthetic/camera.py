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
    """The pose of the camera and the state of the tissue at one moment.

    Attributes:
        look: World point under the disc's centre; in a tube, the place of the lumen in disc radii.
        distance: Distance of the camera from the world plane; in a tube, its way along the tube.
        roll: Turn of the camera about its axis, in radians.
        breath: Phase of breathing, -1 to 1.
        stain: Level of the stain, see `Tissue`.
        pulls: The grasps.
    """

    look: tuple[float, float]
    distance: float
    roll: float
    breath: float
    stain: float
    pulls: tuple[Pull, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TissueView:
    """A view of the disc's pixels: linear colour (3, N), and depth along the optical axis (N,) in millimetres."""

    colour: Floats
    depth: Floats


class Camera(Protocol):
    """A camera that looks at one tissue with the pixels of one disc."""

    sway: ClassVar[tuple[float, float, float]]
    """Amplitudes of a hand-held camera, in the units of `stand`."""

    def stand(self, name: str) -> tuple[float, float, float]:
        """Get the look (x, y) and the distance from which a landmark is worked on."""

    def see(self, view: View) -> TissueView:
        """Render the tissue, without instruments."""

    def project(self, landmark: str, view: View) -> tuple[float, float, float]:
        """Project a landmark that is not dragged: x and y in disc radii, and depth in millimetres."""


class FieldCamera:
    """A pinhole camera above a height field: abdomens, eyes."""

    sway: ClassVar = (0.10, 0.08, 0.10)
    focal = 1.5
    millimetres = 40.0
    """Millimetres in a world unit: an abdomen at a working distance of about 60 mm."""

    def __init__(self, tissue: Tissue, x: Floats, y: Floats) -> None:
        """Point at a tissue.

        Args:
            tissue: The maps.
            x: (N,) float32 positions of the pixels in disc radii, to the right.
            y: (N,) positions downwards.
        """
        self.tissue = tissue
        self.x = x
        self.y = y

    def stand(self, name: str) -> tuple[float, float, float]:
        """See `Camera`: close to a landmark, farther for an overview."""
        x, y = self.tissue.landmarks[name]
        if name == "overview":
            return x, y, 1.75
        return 0.7 * x, 0.7 * y, 1.5

    def see(self, view: View) -> TissueView:
        """See `Camera`."""
        x, y = drag(self.x, self.y, view.pulls)
        c = np.float32(np.cos(view.roll) / self.focal)
        s = np.float32(np.sin(view.roll) / self.focal)
        ray_x = c * x - s * y
        ray_y = s * x + c * y
        index, depth = self._land(view, ray_x, ray_y)

        colour, slope_x, slope_y, gloss = sample(self.tissue, index, view.stain)
        steep = _length(slope_x, slope_y)
        oblique = _length(ray_x, ray_y)
        facing = (1 + slope_x * ray_x + slope_y * ray_y) / (steep * oblique)

        # The light sits at the side of the lens.
        half_x = ray_x - np.float32(0.10)
        half_y = ray_y + np.float32(0.16)
        mirror = (1 + slope_x * half_x + slope_y * half_y) / (steep * _length(half_x, half_y))

        arriving = np.square(np.float32(view.distance) / (oblique * depth))
        lit = illuminate(colour, facing, mirror, arriving, gloss)
        return TissueView(colour=lit, depth=depth * self.millimetres)

    def _land(
        self, view: View, ray_x: Floats, ray_y: Floats
    ) -> tuple[npt.NDArray[np.int32], Floats]:
        """Find the texel where each ray (N,) lands, and its depth."""
        look_x, look_y, swell = self._breathe(view)
        height = self.tissue.height.reshape(-1)
        depth: Floats = np.full_like(ray_x, view.distance)
        # A ray's landing place and the height there depend on each other: iterate to a fixed point.
        for _ in range(3):
            index = self._texel(look_x + ray_x * depth, look_y + ray_y * depth)
            depth = np.float32(view.distance) - np.float32(swell) * height[index]
        return index, depth

    def project(self, landmark: str, view: View) -> tuple[float, float, float]:
        """See `Camera`."""
        x, y = self.tissue.landmarks[landmark]
        look_x, look_y, swell = self._breathe(view)
        texel = self._texel(np.array([x], np.float32), np.array([y], np.float32))
        depth = view.distance - swell * float(self.tissue.height.reshape(-1)[texel[0]])

        u = self.focal * (x - look_x) / depth
        v = self.focal * (y - look_y) / depth
        c = float(np.cos(view.roll))
        s = float(np.sin(view.roll))
        return c * u + s * v, c * v - s * u, depth * self.millimetres

    def _breathe(self, view: View) -> tuple[float, float, float]:
        """Compute the look point moved by breathing, and the swelling of the tissue."""
        x, y = view.look
        return x, y + 0.02 * view.breath, 1 + 0.08 * view.breath

    def _texel(self, x: Floats, y: Floats) -> npt.NDArray[np.int32]:
        """Convert world points (N,) to numbers of texels."""
        scale = np.float32((SIZE - 1) / (2 * EXTENT))
        offset = np.float32(SIZE / 2)
        column = np.clip(x * scale + offset, 0, SIZE - 1).astype(np.int32)
        row = np.clip(y * scale + offset, 0, SIZE - 1).astype(np.int32)
        texel: npt.NDArray[np.int32] = row * np.int32(SIZE) + column
        return texel


def drag(x: Floats, y: Floats, pulls: tuple[Pull, ...]) -> tuple[Floats, Floats]:
    """Move points x, y (N,) back to the places where their tissue would be if nothing were dragged."""
    for pull in pulls:
        at_x, at_y = pull.at
        by_x, by_y = pull.by
        squared_distance = np.square(x - at_x) + np.square(y - at_y)
        near = np.exp(-squared_distance / np.float32(2 * 0.22**2))
        x = x - np.float32(by_x) * near
        y = y - np.float32(by_y) * near
    return x, y


def sample(
    tissue: Tissue, index: npt.NDArray[np.int32], stain: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """Look up stained colour (3, N), slopes along columns and along rows (N,), and gloss (N,) of texels (N,)."""
    red, green, blue, slope_across, slope_down, gloss, threshold, _ = tissue.paint[index].T.copy()
    colour = np.stack([red, green, blue])
    cover = tissue.opacity * ramp(np.float32(stain) - threshold, 0, 0.08)
    colour += (tissue.stain - colour) * cover
    return colour, slope_across, slope_down, gloss


def illuminate(
    colour: Floats, facing: Floats, mirror: Floats, arriving: Floats, gloss: Floats
) -> Floats:
    """Light wet tissue by the endoscope's own lamp.

    Args:
        colour: (3, N) linear albedo.
        facing: (N,) cosine between the normal and the direction of the camera.
        mirror: (N,) cosine between the normal and the half vector of camera and light.
        arriving: (N,) light that arrives, falling with the square of distance.
        gloss: (N,) strength of highlights.

    Returns:
        (3, N) linear colour.
    """
    sheen = np.square(np.square(np.maximum(mirror, 0)))
    highlight = sheen
    # To the 256th power of the cosine, which makes highlights small.
    for _ in range(6):
        highlight = highlight * highlight

    diffuse = colour * np.maximum(facing, 0.2)
    specular = gloss * (highlight + np.float32(0.03) * sheen * sheen)
    return (diffuse + specular) * arriving


def _length(x: Floats, y: Floats) -> Floats:
    """Compute the lengths of the vectors (x, y, 1)."""
    length: Floats = np.sqrt(1 + x * x + y * y)
    return length
