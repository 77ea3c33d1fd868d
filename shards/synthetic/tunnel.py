"""Looking down a colon: a winding tube with folds, its light fading towards the dark lumen."""

from typing import ClassVar

import numpy as np

from surgstream.shards.synthetic.anatomy import PERIOD
from surgstream.shards.synthetic.camera import Seen, View, drag, illuminate, sample
from surgstream.shards.synthetic.texture import Floats, Tissue

ANGLES, RINGS, STEPS = 224, 96, 96
NEAR, FAR = 0.3, 9.0


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
            y: (N,) downwards.
        """
        self.tissue, self.x, self.y = tissue, x, y
        self.steps = np.geomspace(NEAR, FAR, STEPS, dtype=np.float32)
        self.rings = np.square(np.linspace(0.1, 1.1, RINGS, dtype=np.float32))

    def stand(self, name: str) -> tuple[float, float, float]:
        """See `Camera`: a little before the landmark."""
        return -0.1, -0.15, self.tissue.landmarks[name][1] - 1.1

    def see(self, view: View) -> Seen:
        """See `Camera`."""
        rows, columns = self.tissue.height.shape
        x, y = drag(self.x, self.y, view.pulls)
        bend = 1 / (1 + x * x + y * y)  # far parts of the tube shift more than near ones
        x, y = x - np.float32(view.look[0]) * bend, y - np.float32(view.look[1]) * bend

        turn = (np.arctan2(y, x) + np.float32(view.roll)) / np.float32(2 * np.pi) % 1
        ahead = self._cast(turn, np.sqrt(x * x + y * y), view.distance)
        row = ((ahead + np.float32(view.distance)) * np.float32(rows / PERIOD)).astype(
            np.int32
        ) % rows
        index = row * columns + (turn * columns).astype(np.int32) % columns

        colour, slope_turn, slope_z, gloss = sample(self.tissue, index, view.stain)
        radius = self.tissue.height.reshape(-1)[index]
        distance = np.sqrt(ahead * ahead + radius * radius)
        steep = np.sqrt(1 + slope_z * slope_z + slope_turn * slope_turn)
        # The normal times the way to the camera; both are divided by their lengths below
        towards = radius - slope_z * ahead
        beside = np.float32(0.15)  # the light sits beside the lens
        mirror = (towards + beside * slope_turn) / (
            steep * np.sqrt(distance * distance + beside * beside)
        )
        arriving = np.square(np.float32(1.25) / distance)
        colour = illuminate(colour, towards / (steep * distance), mirror, arriving, gloss)
        return Seen(colour=colour, depth=ahead * self.millimetres)

    def project(self, landmark: str, view: View) -> tuple[float, float, float]:
        """See `Camera`; a landmark stands out from the wall by a third of the radius."""
        angle, z = self.tissue.landmarks[landmark]
        ahead = max((z - view.distance + PERIOD / 2) % PERIOD - PERIOD / 2, NEAR)
        r = 0.7 * self.focal / ahead
        straight_x, straight_y = (
            r * float(np.cos(angle - view.roll)),
            r * float(np.sin(angle - view.roll)),
        )
        x, y = straight_x, straight_y
        for _ in range(
            5
        ):  # the bend depends on where the landmark appears: iterate to a fixed point
            bend = 1 / (1 + x * x + y * y)
            x, y = straight_x + view.look[0] * bend, straight_y + view.look[1] * bend
        return x, y, ahead * self.millimetres

    def _cast(self, turn: Floats, r: Floats, travelled: float) -> Floats:
        """How far ahead each ray (N,) meets the wall, from its angle in turns and its distance r from the lumen.

        At each angle, the wall z ahead appears at focal * radius(z) / z. Following it away from the camera, only what
        comes nearer to the lumen than all before it is seen past the folds. This is tabled over angles and rings.
        """
        rows, columns = self.tissue.height.shape
        row = ((self.steps + travelled) * (rows / PERIOD)).astype(np.int64) % rows
        column = np.arange(ANGLES) * columns // ANGLES
        # Shape (ANGLES, STEPS)
        appears = self.focal * self.tissue.height[np.ix_(row, column)].T / self.steps
        profile = np.minimum.accumulate(appears, axis=1)

        # The first step whose wall appears no farther out than each ring; shape (ANGLES, RINGS)
        hit = np.count_nonzero(profile[:, None, :] > self.rings[None, :, None], axis=2).clip(
            1, STEPS - 1
        )
        angles = np.arange(ANGLES)[:, None]
        before, after = profile[angles, hit - 1], profile[angles, hit]
        part = np.clip((before - self.rings) / np.maximum(before - after, 1e-6), 0, 1)
        table = (self.steps[hit - 1] + part * (self.steps[hit] - self.steps[hit - 1])).astype(
            np.float32
        )
        return self._interpolate(table, turn * ANGLES, (np.sqrt(r) - np.float32(0.1)) * (RINGS - 1))

    def _interpolate(self, table: Floats, row: Floats, column: Floats) -> Floats:
        """Bilinear look-up in a table (ANGLES, RINGS) whose rows wrap around."""
        # So little below the last column that there is a next one
        column = np.clip(column, 0, RINGS - 1.001)
        i, j, down, across, flat = (
            row.astype(np.int32),
            column.astype(np.int32),
            row % 1,
            column % 1,
            table.reshape(-1),
        )
        # The row after the last is the first
        here, next_ = i % ANGLES * RINGS + j, (i + 1) % ANGLES * RINGS + j
        first = flat[here] * (1 - across) + flat[here + 1] * across
        second = flat[next_] * (1 - across) + flat[next_ + 1] * across
        blended: Floats = first * (1 - down) + second * down
        return blended
