"""One synthetic video, frame by frame: tissue, instruments, smoke, the endoscope's disc, and what is known of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from surgstream.shards.keyed_random import UInt64
from surgstream.shards.synthetic import anatomy
from surgstream.shards.synthetic.camera import Camera, FieldCamera, Pull, View
from surgstream.shards.synthetic.procedures import TOOLS, Dataset
from surgstream.shards.synthetic.story import Playing, Story
from surgstream.shards.synthetic.texture import Floats, Tissue, between, key, noise
from surgstream.shards.synthetic.tools import Drawn, Pose, draw
from surgstream.shards.synthetic.tunnel import TubeCamera

CLASSES = {name: value for value, name in enumerate(sorted(TOOLS), start=1)}
"""Value of each instrument's pixels in a mask; 0 is tissue and background."""

DEPTH_STEPS_PER_MILLIMETRE = 2
BREATH_SECONDS = 4.0
SMOKE_TILE = 512
SMOKE_DRIFTS = ((23.0, -31.0), (-17.0, -12.0))
"""Two layers of smoke and their drift along x and y, in pixels a second."""

SCENERIES: dict[
    str, tuple[Callable[[UInt64], Tissue], Callable[[Tissue, Floats, Floats], Camera]]
] = {
    "gallbladder": (anatomy.gallbladder, FieldCamera),
    "appendix": (anatomy.appendix, FieldCamera),
    "eye": (anatomy.eye, FieldCamera),
    "colon": (anatomy.colon, TubeCamera),
}

Triplet = tuple[str, str, str]
T = TypeVar("T", np.uint8, np.uint16)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One moment of a video.

    Attributes:
        picture: (H, W, 3) RGB.
        mask: (H, W), see `CLASSES`.
        depth: (H, W) along the optical axis, in steps of 1 / DEPTH_STEPS_PER_MILLIMETRE; 0 outside the disc.
        phase: Of the operation.
        triplets: (instrument, verb, target) of every instrument in the mask.
    """

    picture: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.uint16]
    phase: str
    triplets: tuple[Triplet, ...]


class Disc:
    """The endoscope's round picture in its black frame.

    Attributes:
        x: (N,) positions of its pixels in its radii, to the right.
        y: (N,) downwards.
        row: (N,) their rows in the frame.
        column: (N,) their columns.
        pixel: Size of a pixel in its radii.
        vignette: (N,) share of the light that arrives, falling towards the border.
    """

    def __init__(self, dataset: Dataset, parent: UInt64) -> None:
        """Place it in a dataset's frames, a little off their centre."""
        self.shape = dataset.height, dataset.width
        short = min(self.shape)
        self.pixel = 1 / (dataset.disc * short)
        off_y, off_x = (between(key(parent, i), -0.012, 0.012) * short for i in range(2))
        row, column = np.mgrid[: dataset.height, : dataset.width].reshape(2, -1)
        x = (column + 0.5 - dataset.width / 2 - off_x) * self.pixel
        y = (row + 0.5 - dataset.height / 2 - off_y) * self.pixel
        r = np.hypot(x, y)
        self.inside = np.flatnonzero(r < 1)
        self.x, self.y, r = (v[self.inside].astype(np.float32) for v in (x, y, r))
        self.row, self.column = (v[self.inside].astype(np.int32) for v in (row, column))
        # A rim that is soft for a pixel and a half, and less light towards it
        self.vignette = np.clip((1 - r) / np.float32(1.5 * self.pixel), 0, 1) * (1 - 0.45 * r**3)

    def frame(self, values: npt.NDArray[T]) -> npt.NDArray[T]:
        """Put values (N, ...) of the disc's pixels into a frame of zeros (H, W, ...)."""
        full = np.zeros((self.shape[0] * self.shape[1], *values.shape[1:]), values.dtype)
        full[self.inside] = values
        return full.reshape(*self.shape, *values.shape[1:])


class Film:
    """A video that can be asked for any of its moments."""

    def __init__(self, dataset: Dataset, parent: UInt64, seconds: float) -> None:
        """Paint the scene and write the story.

        Args:
            dataset: Which kind of video.
            parent: Key of the video.
            seconds: Its length.
        """
        self.story = Story(dataset.procedure, key(parent, "story"), seconds)
        self.disc = Disc(dataset, key(parent, "disc"))
        paint, camera = SCENERIES[dataset.procedure.scenery]
        self.camera = camera(paint(key(parent, "scene")), self.disc.x, self.disc.y)
        self.roll = between(key(parent, "roll"), -0.35, 0.35)
        self.fumes = 0.5 + 0.25 * noise(
            key(parent, "fumes"), (SMOKE_TILE, SMOKE_TILE), 1, 10, 1.6
        ).reshape(-1)
        brightness = between(key(parent, "brightness"), 0.85, 1.15)
        balance = [
            [brightness * between(key(parent, "balance", channel), 0.86, 1.14)]
            for channel in range(3)
        ]
        self.exposure = np.array(balance, np.float32) * self.disc.vignette

    def frame(self, t: float) -> Frame:
        """Everything at time t in seconds."""
        view = self._view(t)
        playing = [act for act in self.story.acts if act.reach(t) > 0]
        grips = [self._grip(act, view, t) for act in playing]
        pulls = tuple(
            Pull(at=grip[:2], by=act.drag(t))
            for act, grip in zip(playing, grips, strict=True)
            if any(act.drag(t))
        )

        seen = self.camera.see(replace(view, pulls=pulls))
        drawings = [self._draw(act, grip, t) for act, grip in zip(playing, grips, strict=True)]

        colour, depth = seen.colour, seen.depth
        mask = np.zeros(depth.shape, np.uint8)
        # All shadows before any instrument is painted: they fall on tissue alone
        for drawn in drawings:
            colour *= drawn.shadow
        for act, drawn in zip(playing, drawings, strict=True):
            colour[:, drawn.index] += (drawn.colour - colour[:, drawn.index]) * drawn.cover
            # A pixel belongs to an instrument that covers more than half of it
            solid = drawn.index[drawn.cover > 0.5]
            mask[solid] = CLASSES[act.act.tool]
            depth[solid] = np.minimum(drawn.depth[drawn.cover > 0.5], depth[solid])

        self._smoke(colour, t)
        # The tone curve that `texture.light` is the inverse of
        tone = np.sqrt(np.clip(colour * self.exposure, 0, 1))
        return Frame(
            picture=self.disc.frame(np.rint(255 * tone.T).astype(np.uint8)),
            mask=self.disc.frame(mask),
            depth=self.disc.frame(np.rint(depth * DEPTH_STEPS_PER_MILLIMETRE).astype(np.uint16)),
            phase=self.story.phase(t).name,
            triplets=tuple(
                act.triplet(t) for act in playing if np.any(mask == CLASSES[act.act.tool])
            ),
        )

    def _view(self, t: float) -> View:
        left, made_for, share = self.story.stands(t)
        start, stop = np.array(self.camera.stand(left)), np.array(self.camera.stand(made_for))
        *sway, roll = self.story.sway(t)
        x, y, distance = start + share * (stop - start) + np.array(self.camera.sway) * sway

        return View(
            look=(float(x), float(y)),
            distance=float(distance),
            roll=self.roll + 0.15 * roll,
            breath=float(np.sin(2 * np.pi * t / BREATH_SECONDS)),
            stain=self.story.stain(t),
        )

    def _grip(self, playing: Playing, view: View, t: float) -> tuple[float, float, float]:
        """Where an instrument's tip works: x and y in disc radii, inside the disc, and depth in millimetres."""
        x, y, depth = self.camera.project(playing.act.target, view)
        # What lies farther out than 0.85 radii is worked on from there
        outside = max(float(np.hypot(x, y)) / 0.85, 1.0)
        by, tremble = playing.drag(t), playing.tremble(t)
        return x / outside + by[0] + tremble[0], y / outside + by[1] + tremble[1], depth

    def _draw(self, playing: Playing, grip: tuple[float, float, float], t: float) -> Drawn:
        x, y, depth = grip
        reach = playing.reach(t)
        entry = 1.45 * float(np.cos(playing.side)), 1.45 * float(np.sin(playing.side))
        tip = entry[0] + (x - entry[0]) * reach, entry[1] + (y - entry[1]) * reach
        pose = Pose(
            entry=entry, tip=tip, opened=playing.opened(t), tip_depth=depth * (0.7 + 0.28 * reach)
        )
        return draw(TOOLS[playing.act.tool], pose, self.disc.x, self.disc.y, self.disc.pixel)

    def _smoke(self, colour: Floats, t: float) -> None:
        """Veil the colour (3, N), in place."""
        density = self.story.smoke(t)
        if density == 0:
            return
        thickness: Floats = np.full(colour.shape[1], -0.55, np.float32)
        for drift_x, drift_y in SMOKE_DRIFTS:
            row, column = (self.disc.row - int(drift_y * t)), (self.disc.column - int(drift_x * t))
            thickness += self.fumes[row % SMOKE_TILE * SMOKE_TILE + column % SMOKE_TILE]
        veil = np.float32(0.75 * density) * np.clip(thickness, 0, 1)
        colour += (np.array([[0.42], [0.42], [0.45]], np.float32) - colour) * veil
