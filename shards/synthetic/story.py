"""The course of one synthetic operation: start and stop of each phase and act, and all movement in between.

A story is a pure function of its key: its moments can be computed in any order.
"""

from dataclasses import dataclass

import numpy as np

from surgstream.shards.keyed_random import UInt64, uniform
from surgstream.shards.synthetic.procedures import Act, Phase, Procedure
from surgstream.shards.synthetic.texture import between, key

DRAGGING = frozenset({"grasp", "retract", "tear"})
CLOSING = DRAGGING | {"clip", "transect", "resect"}
EASE_SECONDS = 0.8


def smooth(x: float) -> float:
    """Compute a smooth step: 0 below 0, 1 above 1."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)


@dataclass(frozen=True, kw_only=True)
class Playing:
    """An act in a video: its times in seconds and the direction of its shaft in radians.

    An unsteady hand lets the tip stray, by at most `stray_by` disc radii.
    """

    act: Act
    start: float
    stop: float
    side: float
    stray_by: float = 0.0

    @property
    def ease(self) -> float:
        """Seconds that the instrument takes to come, and to leave."""
        return min(EASE_SECONDS, 0.3 * (self.stop - self.start))

    def reach(self, t: float) -> float:
        """Compute the share of its way that the instrument has come: 0 out of sight, 1 at its target."""
        come = smooth((t - self.start) / self.ease)
        not_gone = smooth((self.stop - t) / self.ease)
        return come * not_gone

    def contact(self, t: float) -> float:
        """Compute the firmness of the grip, 0 to 1; it starts when the instrument has arrived."""
        begun = (t - self.start) / self.ease - 1
        left = (self.stop - t) / self.ease - 1
        return smooth(2.5 * begun) * smooth(2.5 * left)

    def progress(self, t: float) -> float:
        """Compute the share of the act that is done."""
        worked = t - self.start - self.ease
        seconds = self.stop - self.start - 2 * self.ease
        return smooth(worked / seconds)

    def opened(self, t: float) -> float:
        """Compute the opening of the jaws, 0 to 1."""
        at_work = 0.0
        if self.act.verb not in CLOSING:
            at_work = 0.5 + 0.5 * float(np.cos(5.0 * (t - self.start)))
        return 1 - self.contact(t) * (1 - at_work)

    def drag(self, t: float) -> tuple[float, float]:
        """Compute the shift of the target by the shaft that holds it, along x and y in disc radii."""
        if self.act.verb not in DRAGGING:
            return 0.0, 0.0

        strength = self.contact(t) * (0.10 + 0.05 * float(np.sin(1.3 * (t - self.start))))
        stray_x, stray_y = self.stray(t)
        x = strength * float(np.cos(self.side)) + stray_x
        y = strength * float(np.sin(self.side)) + stray_y
        return x, y

    def tremble(self, t: float) -> tuple[float, float]:
        """Compute the shift of the tip off its target while it works on it, along x and y in disc radii."""
        if self.act.verb in DRAGGING:
            return 0.0, 0.0

        strength = 0.035 * self.contact(t)
        stray_x, stray_y = self.stray(t)
        x = strength * float(np.sin(4.1 * t)) + stray_x
        y = strength * float(np.sin(2.9 * t + 1)) + stray_y
        return x, y

    def stray(self, t: float) -> tuple[float, float]:
        """Compute the shift by an unsteady hand at work, swinging and trembling, along x and y in disc radii."""
        strength = self.stray_by * self.contact(t)
        # Each act and axis has a course of its own, by the direction of the shaft.
        course = 40 * self.side + np.array([0.0, 2.0])
        slow = np.sin(np.array([1.9, 2.3]) * t + course)
        quick = np.sin(np.array([17.0, 15.0]) * t + 3 * course)
        x, y = strength * (0.6 * slow + 0.4 * quick) / np.sqrt(2)
        return float(x), float(y)

    def triplet(self, t: float) -> tuple[str, str, str]:
        """Name instrument, verb and target; the last two are null while the instrument only comes or goes."""
        if self.contact(t) > 0.5:
            return self.act.tool, self.act.verb, self.act.target
        return self.act.tool, "null_verb", "null_target"


class Story:
    """The course of one video."""

    def __init__(
        self, procedure: Procedure, parent: UInt64, seconds: float, stray: float = 0.0
    ) -> None:
        """Lay out phases and acts over the video's length.

        Args:
            procedure: The operation.
            parent: Key of the video.
            seconds: Length of the video.
            stray: How far tips stray at most from where they work, in disc radii.
        """
        self.procedure = procedure
        self.stray_by = stray
        shares = [
            phase.share * between(key(parent, "share", i), 0.75, 1.25)
            for i, phase in enumerate(procedure.phases)
        ]
        ends = np.cumsum(shares) / sum(shares)
        self.bounds = seconds * np.concatenate([[0.0], ends])

        acts = []
        for i, phase in enumerate(procedure.phases):
            for j, act in enumerate(phase.acts):
                acts.append(self._play(act, i, key(parent, "act", i, j)))
        self.acts = tuple(acts)

        self.bleeds = between(key(parent, "bleeds"), 0, 1) < 0.7
        # Frequencies and phases of three swings each along x, y and the axis, and in roll.
        self.waves = uniform(key(parent, "waves"), 24).reshape(2, 4, 3)

    def phase(self, t: float) -> Phase:
        """Find the phase at time t in seconds."""
        return self.procedure.phases[self._place(t)]

    def stands(self, t: float) -> tuple[str, str, float]:
        """Find the stand that the camera leaves, the one it makes for, and the share of the way it has come."""
        i = self._place(t)
        start, stop = self.bounds[i], self.bounds[i + 1]
        elapsed = float((t - start) / (stop - start))

        phases = self.procedure.phases
        travelled = smooth(elapsed / self.procedure.travel)
        return phases[max(i - 1, 0)].stand, phases[i].stand, travelled

    def sway(self, t: float) -> tuple[float, float, float, float]:
        """Wandering and trembling of a hand-held camera: along x, y, its axis, and in roll, each -1 to 1."""
        offsets, phases = self.waves
        hertz = np.array([0.07, 0.20, 0.97]) + 0.06 * offsets
        waves = np.sin(2 * np.pi * (hertz * t + phases))
        swings = waves @ np.array([0.65, 0.32, 0.03])
        x, y, axis, roll = (float(swing) for swing in swings)
        return x, y, axis, roll

    def stain(self, t: float) -> float:
        """Level of blood, or of the lens's cloud, at time t."""
        level = self.procedure.clouded
        for playing in self.acts:
            if playing.act.stain < 0 or self.bleeds:
                level = max(level + playing.act.stain * playing.progress(t), 0.0)
        return level

    def smoke(self, t: float) -> float:
        """Density of smoke at time t, 0 to 1: it rises while something burns and clears within seconds."""
        density = 0.0
        for playing in self.acts:
            if playing.act.smoke:
                rising = smooth((t - playing.start - 2 * playing.ease) / 1.5)
                clearing = smooth(1 - (t - playing.stop + playing.ease) / 2.5)
                puffs = 0.55 + 0.45 * float(np.sin(1.7 * (t - playing.start)))
                density = max(density, rising * clearing * puffs)
        return density

    def _place(self, t: float) -> int:
        """Find the number of the phase at time t."""
        return int(np.searchsorted(self.bounds[1:-1], t, side="right"))

    def _play(self, act: Act, phase: int, parent: UInt64) -> Playing:
        start, stop = float(self.bounds[phase]), float(self.bounds[phase + 1])
        late = between(key(parent, "late"), 0, 0.06)
        begins, ends = act.span
        first = start + (begins + late) * (stop - start)
        last = start + ends * (stop - start)

        side = act.side + between(key(parent, "side"), -12, 12)
        return Playing(
            act=act,
            start=first,
            stop=last,
            side=float(np.radians(side)),
            stray_by=self.stray_by,
        )
