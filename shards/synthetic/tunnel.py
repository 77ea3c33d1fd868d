"""A camera in a colon: a winding tube with folds, in which light fades towards the dark lumen."""

from typing import ClassVar

import numpy as np

from surgstream.shards.synthetic.anatomy import PERIOD
from surgstream.shards.synthetic.camera import TissueView, View, drag, illuminate, sample
from surgstream.shards.synthetic.texture import Floats, Tissue

# Size of the tables of rays and of the wall.
ANGLES = 224
RINGS = 96
STEPS = 96

# The nearest and the farthest wall that is seen, in the tube's radii.
NEAR = 0.3
FAR = 9.0


class TubeCamera:
    """A wide-angle camera on the axis of a tube, see `camera.Camera`; lengths in the tube's radii."""

    sway: ClassVar = (0.22, 0.18, 0.15)
    focal = 0.62
    millimetres = 22.0
    """Radius of the tube."""

    def __init__(self, tissue: Tissue, x: Floats, y: Floats) -> None:
        """Enter a tube.

        Args:
            tissue: The maps of its wall, rows along it and columns around.
            x: (N,) float32 positions of the pixels in disc radii, to the right.
            y: (N,) positions downwards.
        """
        self.tissue = tissue
        self.x = x
        self.y = y
        self.steps = np.geomspace(NEAR, FAR, STEPS, dtype=np.float32)
        self.rings = np.square(np.linspace(0.1, 1.1, RINGS, dtype=np.float32))

    def stand(self, name: str) -> tuple[float, float, float]:
        """See `Camera`: a little before the landmark."""
        return -0.1, -0.15, self.tissue.landmarks[name][1] - 1.1

    def see(self, view: View) -> TissueView:
        """See `Camera`."""
        rows, columns = self.tissue.height.shape
        look_x, look_y = view.look
        x, y = drag(self.x, self.y, view.pulls)
        bend = 1 / (1 + x * x + y * y)  # far parts of the tube shift more than near ones
        x = x - np.float32(look_x) * bend
        y = y - np.float32(look_y) * bend

        # The texel of the wall that each ray meets.
        turn = (np.arctan2(y, x) + np.float32(view.roll)) / np.float32(2 * np.pi) % 1
        ahead = self._cast(turn, np.sqrt(x * x + y * y), view.distance)
        along = (ahead + np.float32(view.distance)) * np.float32(rows / PERIOD)
        row = along.astype(np.int32) % rows
        column = (turn * columns).astype(np.int32) % columns
        index = row * columns + column

        colour, slope_turn, slope_z, gloss = sample(self.tissue, index, view.stain)
        radius = self.tissue.height.reshape(-1)[index]
        distance = np.sqrt(ahead * ahead + radius * radius)
        steep = np.sqrt(1 + slope_z * slope_z + slope_turn * slope_turn)

        # The normal times the direction of the camera; both are divided by their lengths below.
        towards = radius - slope_z * ahead
        facing = towards / (steep * distance)
        # The light sits at the side of the lens.
        aside = np.float32(0.15)
        to_light = np.sqrt(distance * distance + aside * aside)
        mirror = (towards + aside * slope_turn) / (steep * to_light)

        arriving = np.square(np.float32(1.25) / distance)
        lit = illuminate(colour, facing, mirror, arriving, gloss)
        return TissueView(colour=lit, depth=ahead * self.millimetres)

    def project(self, landmark: str, view: View) -> tuple[float, float, float]:
        """See `Camera`; a landmark stands out from the wall by a third of the radius."""
        angle, z = self.tissue.landmarks[landmark]
        ahead = max((z - view.distance + PERIOD / 2) % PERIOD - PERIOD / 2, NEAR)
        r = 0.7 * self.focal / ahead
        straight_x = r * float(np.cos(angle - view.roll))
        straight_y = r * float(np.sin(angle - view.roll))

        look_x, look_y = view.look
        x, y = straight_x, straight_y
        # The bend depends on where the landmark appears: iterate to a fixed point.
        for _ in range(5):
            bend = 1 / (1 + x * x + y * y)
            x = straight_x + look_x * bend
            y = straight_y + look_y * bend
        return x, y, ahead * self.millimetres

    def _cast(self, turn: Floats, r: Floats, travelled: float) -> Floats:
        """Find how far ahead each ray (N,) meets the wall, from its angle in turns and its distance r from the lumen.

        At each angle, the wall z ahead appears at focal * radius(z) / z. Past the folds, only those parts are seen that
        appear nearer to the lumen than all parts before them. This is tabled over angles and rings.
        """
        rows, columns = self.tissue.height.shape
        row = ((self.steps + travelled) * (rows / PERIOD)).astype(np.int64) % rows
        column = np.arange(ANGLES) * columns // ANGLES
        radius = self.tissue.height[np.ix_(row, column)].T  # shape (ANGLES, STEPS)
        appears = self.focal * radius / self.steps
        profile = np.minimum.accumulate(appears, axis=1)

        # The first step whose wall appears no farther out than each ring; shape (ANGLES, RINGS).
        farther = profile[:, None, :] > self.rings[None, :, None]
        hit = np.count_nonzero(farther, axis=2).clip(1, STEPS - 1)

        # Between that step and the one before it.
        angles = np.arange(ANGLES)[:, None]
        before = profile[angles, hit - 1]
        after = profile[angles, hit]
        part = np.clip((before - self.rings) / np.maximum(before - after, 1e-6), 0, 1)
        last, first = self.steps[hit - 1], self.steps[hit]
        table = (last + part * (first - last)).astype(np.float32)

        ring = (np.sqrt(r) - np.float32(0.1)) * (RINGS - 1)
        return self._interpolate(table, turn * ANGLES, ring)

    def _interpolate(self, table: Floats, row: Floats, column: Floats) -> Floats:
        """Look up values in a table (ANGLES, RINGS) whose rows wrap around, bilinearly."""
        # Just below the last column, so that there is a next one.
        column = np.clip(column, 0, RINGS - 1.001)
        i = row.astype(np.int32)
        j = column.astype(np.int32)
        down = row % 1
        across = column % 1

        # The row after the last is the first.
        flat = table.reshape(-1)
        here = i % ANGLES * RINGS + j
        below = (i + 1) % ANGLES * RINGS + j
        first = flat[here] * (1 - across) + flat[here + 1] * across
        second = flat[below] * (1 - across) + flat[below + 1] * across
        blended: Floats = first * (1 - down) + second * down
        return blended
