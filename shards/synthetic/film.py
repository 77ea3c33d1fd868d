"""One synthetic video, frame by frame: tissue, instruments, smoke, the endoscope's disc, and their labels."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from surgstream.shards.keyed_random import UInt64
from surgstream.shards.synthetic import anatomy
from surgstream.shards.synthetic.camera import Camera, FieldCamera, Pull, View
from surgstream.shards.synthetic.procedures import Dataset
from surgstream.shards.synthetic.story import Playing, Story
from surgstream.shards.synthetic.takes import Take
from surgstream.shards.synthetic.texture import Floats, Tissue, between, key, noise
from surgstream.shards.synthetic.tools import TOOLS, Drawn, Pose, draw
from surgstream.shards.synthetic.tunnel import TubeCamera

CLASSES = {name: value for value, name in enumerate(sorted(TOOLS), start=1)}
"""Value of each instrument's pixels in a mask; 0 is tissue and background."""

DEPTH_STEPS_PER_MILLIMETRE = 2
BREATH_SECONDS = 4.0
SMOKE_TILE = 512
SMOKE_DRIFTS = ((23.0, -31.0), (-17.0, -12.0))
"""Two layers of smoke and their drift along x and y, in pixels a second."""

Painter = Callable[[UInt64], Tissue]
CameraMaker = Callable[[Tissue, Floats, Floats], Camera]

SCENERIES: dict[str, tuple[Painter, CameraMaker]] = {
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
        mask: (H, W) values of `CLASSES`.
        depth: (H, W) along the optical axis, in steps of 1 / DEPTH_STEPS_PER_MILLIMETRE; 0 outside the disc.
        phase: Name of the operation's phase.
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
        y: (N,) positions downwards.
        row: (N,) rows of its pixels in the frame.
        column: (N,) columns of its pixels.
        pixel: Size of a pixel in its radii.
        vignette: (N,) share of the light that arrives, falling towards the border.
    """

    def __init__(self, dataset: Dataset, parent: UInt64) -> None:
        """Place the disc in a dataset's frames, a little off their centre."""
        self.shape = (dataset.height, dataset.width)
        short_side = min(self.shape)
        self.pixel = 1 / (dataset.disc * short_side)
        off_y = between(key(parent, 0), -0.012, 0.012) * short_side
        off_x = between(key(parent, 1), -0.012, 0.012) * short_side

        row, column = np.mgrid[: dataset.height, : dataset.width].reshape(2, -1)
        x = (column + 0.5 - dataset.width / 2 - off_x) * self.pixel
        y = (row + 0.5 - dataset.height / 2 - off_y) * self.pixel
        r = np.hypot(x, y)

        self.inside = np.flatnonzero(r < 1)
        self.x = x[self.inside].astype(np.float32)
        self.y = y[self.inside].astype(np.float32)
        self.row = row[self.inside].astype(np.int32)
        self.column = column[self.inside].astype(np.int32)

        # The rim is soft for a pixel and a half, and light falls towards it.
        r = r[self.inside].astype(np.float32)
        rim = np.clip((1 - r) / np.float32(1.5 * self.pixel), 0, 1)
        self.vignette = rim * (1 - 0.45 * r**3)

    def frame(self, values: npt.NDArray[T]) -> npt.NDArray[T]:
        """Put values (N, ...) of the disc's pixels into a frame of zeros (H, W, ...)."""
        full = np.zeros((self.shape[0] * self.shape[1], *values.shape[1:]), values.dtype)
        full[self.inside] = values
        return full.reshape(*self.shape, *values.shape[1:])


class RenderedFilm:
    """A video whose frames can be rendered in any order."""

    def __init__(
        self, dataset: Dataset, parent: UInt64, seconds: float, take: Take | None = None
    ) -> None:
        """Paint the scene and write the story.

        Args:
            dataset: The dataset that the video belongs to.
            parent: Key of the video.
            seconds: Length of the video.
            take: What it shows; the whole procedure of the dataset by default.
        """
        take = take or Take(procedure=dataset.procedure)
        self.story = Story(take.procedure, key(parent, "story"), seconds, take.stray)
        self.disc = Disc(dataset, key(parent, "disc"))
        paint, make_camera = SCENERIES[dataset.procedure.scenery]
        tissue = paint(key(parent, "scene") if take.scene is None else take.scene)
        self.camera = make_camera(tissue, self.disc.x, self.disc.y)
        self.roll = between(key(parent, "roll"), -0.35, 0.35)

        fumes = noise(key(parent, "fumes"), (SMOKE_TILE, SMOKE_TILE), 1, 10, 1.6)
        self.fumes = 0.5 + 0.25 * fumes.reshape(-1)

        brightness = between(key(parent, "brightness"), 0.85, 1.15)
        balance = [between(key(parent, "balance", channel), 0.86, 1.14) for channel in range(3)]
        gains = np.array([[brightness * each] for each in balance], np.float32)
        self.exposure = gains * self.disc.vignette

    def frame(self, t: float) -> Frame:
        """Render the frame at time t in seconds, with all labels."""
        view = self._view(t)
        playing = [act for act in self.story.acts if act.reach(t) > 0]
        grips = [self._grip(act, view, t) for act in playing]
        pulls = []
        for act, (x, y, _) in zip(playing, grips, strict=True):
            drag = act.drag(t)
            if any(drag):
                pulls.append(Pull(at=(x, y), by=drag))

        seen = self.camera.see(replace(view, pulls=tuple(pulls)))
        colour = seen.colour
        depth = seen.depth
        mask = np.zeros(depth.shape, np.uint8)

        # All shadows before any instrument is painted: they fall on tissue alone.
        drawings = [self._draw(act, grip, t) for act, grip in zip(playing, grips, strict=True)]
        for drawn in drawings:
            colour *= drawn.shadow
        for act, drawn in zip(playing, drawings, strict=True):
            under = colour[:, drawn.index]
            colour[:, drawn.index] += (drawn.colour - under) * drawn.cover
            # A pixel belongs to an instrument that covers more than half of it.
            is_solid = drawn.cover > 0.5
            solid = drawn.index[is_solid]
            mask[solid] = CLASSES[act.act.tool]
            depth[solid] = np.minimum(drawn.depth[is_solid], depth[solid])

        self._smoke(colour, t)
        # The tone curve, whose inverse is `texture.light`.
        tone = np.sqrt(np.clip(colour * self.exposure, 0, 1))
        picture = np.rint(255 * tone.T).astype(np.uint8)
        steps = np.rint(depth * DEPTH_STEPS_PER_MILLIMETRE).astype(np.uint16)
        visible = [act for act in playing if np.any(mask == CLASSES[act.act.tool])]
        return Frame(
            picture=self.disc.frame(picture),
            mask=self.disc.frame(mask),
            depth=self.disc.frame(steps),
            phase=self.story.phase(t).name,
            triplets=tuple(act.triplet(t) for act in visible),
        )

    def _view(self, t: float) -> View:
        left, made_for, share = self.story.stands(t)
        start = np.array(self.camera.stand(left))
        stop = np.array(self.camera.stand(made_for))
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
        """Find the place where an instrument's tip works: x and y in disc radii, and depth in millimetres."""
        x, y, depth = self.camera.project(playing.act.target, view)
        # Targets farther out than 0.85 radii are worked on from there.
        outside = max(float(np.hypot(x, y)) / 0.85, 1.0)
        drag_x, drag_y = playing.drag(t)
        tremble_x, tremble_y = playing.tremble(t)
        return x / outside + drag_x + tremble_x, y / outside + drag_y + tremble_y, depth

    def _draw(self, playing: Playing, grip: tuple[float, float, float], t: float) -> Drawn:
        x, y, depth = grip
        reach = playing.reach(t)
        entry_x = 1.45 * float(np.cos(playing.side))
        entry_y = 1.45 * float(np.sin(playing.side))
        pose = Pose(
            entry=(entry_x, entry_y),
            tip=(entry_x + (x - entry_x) * reach, entry_y + (y - entry_y) * reach),
            opened=playing.opened(t),
            tip_depth=depth * (0.7 + 0.28 * reach),
        )
        return draw(TOOLS[playing.act.tool], pose, self.disc.x, self.disc.y, self.disc.pixel)

    def _smoke(self, colour: Floats, t: float) -> None:
        """Veil the colour (3, N), in place."""
        density = self.story.smoke(t)
        if density == 0:
            return

        thickness: Floats = np.full(colour.shape[1], -0.55, np.float32)
        for drift_x, drift_y in SMOKE_DRIFTS:
            row = (self.disc.row - int(drift_y * t)) % SMOKE_TILE
            column = (self.disc.column - int(drift_x * t)) % SMOKE_TILE
            thickness += self.fumes[row * SMOKE_TILE + column]

        veil = np.float32(0.75 * density) * np.clip(thickness, 0, 1)
        grey = np.array([[0.42], [0.42], [0.45]], np.float32)
        colour += (grey - colour) * veil
