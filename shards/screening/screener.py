"""Look at a video's frames while they are packed, and tell what was found in it."""

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from surgstream.shards.screening import faces
from surgstream.shards.screening.burnt_in_text import Overlay, Strokes, strokes_in
from surgstream.shards.screening.frame_scores import SURE, Glance, Kind, glance, kind_of
from surgstream.shards.screening.regions import Rectangle

FACE, WRITING = "face", "writing"
"""What is found beside a `Kind`: a face, anywhere; writing that is burnt into the whole video."""

SUSPECT = 0.1
"""Score from which something outside of the body may be in sight."""

KINDS = (*(str(kind) for kind in Kind), FACE, WRITING)

_OBSTACLES: dict[str, Callable[[], str | None]] = {FACE: faces.obstacle}
"""What may keep a kind from being looked for; all others need nothing but the frames."""

FACES_EVERY, FACES_SUSPECTS = 2, 0.25
"""Every so many-th look is searched for a face, whatever it shows, and of what may be outside of the body that lies
between no more than this share of all looks: a search takes several times as long as all other looking."""


def obstacles(kinds: Iterable[str]) -> dict[str, str]:
    """Those of some kinds that cannot be looked for on this machine, each with the reason and what helps."""
    reasons = ((kind, _OBSTACLES[kind]()) for kind in kinds if kind in _OBSTACLES)
    return {kind: reason for kind, reason in reasons if reason is not None}


@dataclass(frozen=True)
class Sight:
    """What is seen in one frame."""

    scores: Glance
    strokes: Strokes


@dataclass(frozen=True)
class Look:
    """A scored frame: its number, and the scores."""

    number: int
    scores: Glance


@dataclass(frozen=True)
class Stretch:
    """A stretch of a video that a rule has found.

    Attributes:
        kind: One of `KINDS`.
        first: Its first frame.
        stop: The first frame after it.
        score: 0.5 to 1.
        shown: The frame that shows it best.
        box: Where in the frame; all of it if None.
    """

    kind: str
    first: int
    stop: int
    score: float
    shown: int
    box: Rectangle | None = None


class Watch:
    """Takes down what is seen in a video; see `shards.video.frames.Watcher`."""

    def __init__(self) -> None:
        self._looks: list[Look] = []
        self._overlay = Overlay()

    def look(self, image: Image.Image) -> Sight:
        """Look at a frame."""
        return Sight(glance(np.asarray(image)), strokes_in(image))

    def note(self, number: int, seen: Sight) -> None:
        """Take down what was seen in frame `number`."""
        self._looks.append(Look(number, seen.scores))
        if seen.scores[Kind.BLACK] < SURE:
            self._overlay.add(seen.strokes)

    @property
    def judged(self) -> bool:
        """Whether most of the video has the colours of tissue, so that what has not is outside."""
        open_ones = [
            look.scores[Kind.OUTSIDE]
            for look in self._looks
            if kind_of(look.scores) in (None, Kind.OUTSIDE)
        ]
        return not open_ones or statistics.median(open_ones) < SURE

    def stretches(self, stop: int, frame: Callable[[int], Image.Image]) -> list[Stretch]:
        """All that was found.

        Args:
            stop: The number after the last frame's.
            frame: Gives the frame of a number once more.
        """
        if not self._looks:
            return []

        judged = self.judged
        kinds = [kind_of(look.scores) for look in self._looks]
        kinds = [None if kind is Kind.OUTSIDE and not judged else kind for kind in kinds]
        # A look speaks for all frames up to the next one
        ends = [look.number for look in self._looks[1:]] + [stop]
        found = list(self._runs(_smoothed([str(kind) if kind else None for kind in kinds]), ends))
        found += self._faces(stop, frame)

        writing = self._overlay.find()
        if writing is not None:
            box, share = writing
            middle = self._looks[len(self._looks) // 2].number
            found.append(Stretch(WRITING, self._looks[0].number, stop, share, middle, box))
        return found

    def _faces(self, stop: int, frame: Callable[[int], Image.Image]) -> Iterator[Stretch]:
        """Faces. Each speaks for all frames up to the nearest ones, before and after it, that were searched in vain."""
        if obstacles([FACE]):
            return
        numbers = [self._looks[at].number for at in self._searched()]
        scores = [faces.face_score(frame(number)) for number in numbers]
        # From behind the frame that was searched before up to the one that was searched next
        begins = [numbers[0], *(number + 1 for number in numbers)]
        ends = [*numbers[1:], stop]

        for seen, run in itertools.groupby(range(len(scores)), key=lambda at: scores[at] > 0):
            if seen:
                hits = list(run)
                best = max(hits, key=scores.__getitem__)
                score = statistics.fmean(scores[at] for at in hits)
                yield Stretch(FACE, begins[hits[0]], ends[hits[-1]], score, numbers[best])

    def _searched(self) -> list[int]:
        """Which looks are searched for faces."""
        everywhere = range(0, len(self._looks), FACES_EVERY)
        suspect = [
            at for at, look in enumerate(self._looks) if look.scores[Kind.OUTSIDE] >= SUSPECT
        ]
        between = [at for at in suspect if at not in everywhere]
        step = math.ceil(len(between) / (FACES_SUSPECTS * len(self._looks)))
        return sorted([*everywhere, *between[:: max(1, step)]])

    def _runs(self, kinds: Sequence[str | None], ends: Sequence[int]) -> Iterator[Stretch]:
        """The runs of looks of one kind."""
        first = 0
        for here in range(1, len(kinds) + 1):
            if here < len(kinds) and kinds[here] == kinds[first]:
                continue
            kind = kinds[first]
            if kind is not None:
                scores = [look.scores[Kind(kind)] for look in self._looks[first:here]]
                best = self._looks[first + scores.index(max(scores))].number
                score = max(SURE, statistics.fmean(scores))
                yield Stretch(kind, self._looks[first].number, ends[here - 1], score, best)
            first = here


def _smoothed(kinds: Sequence[str | None]) -> list[str | None]:
    """What two of three neighbouring looks agree on; else what it was."""
    around = [kinds[max(0, here - 1) : here + 2] for here in range(len(kinds))]
    agreed = (Counter(three).most_common(1)[0] for three in around)
    return [kind if times > 1 else own for own, (kind, times) in zip(kinds, agreed, strict=True)]
