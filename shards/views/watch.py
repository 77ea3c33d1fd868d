"""Look at a video's frames while they are packed, and tell what was found in it."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from shards.views.faces import has_face
from shards.views.glance import SURE, Glance, Kind, glance, kind_of
from shards.views.overlay import Overlay, Strokes, strokes_in
from shards.views.regions import Rectangle

FACE, WRITING = "face", "writing"
"""What is found beside a `Kind`: a face in an outside view; writing that is burnt into the whole video."""

SUSPECT = 0.1
"""Score from which something outside of the body may be in sight."""

KINDS = (*(str(kind) for kind in Kind), FACE, WRITING)

FACES_SHARE = 0.2
"""Most of the looks at a video, faces being searched for in the frames of no more: that takes ten times as long."""


@dataclass(frozen=True)
class Sight:
    """What is seen in one frame."""

    scores: Glance
    strokes: Strokes


@dataclass(frozen=True)
class Look:
    """What stays of it: the frame's number, and the scores."""

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
        open_ones = [look.scores[Kind.OUTSIDE] for look in self._looks if kind_of(look.scores) in (None, Kind.OUTSIDE)]
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
        ends = [look.number for look in self._looks[1:]] + [stop]
        found = list(self._runs(_smoothed([str(kind) if kind else None for kind in kinds]), ends))
        found += self._runs(self._faces(frame), ends)
        writing = self._overlay.find()
        if writing is not None:
            box, share = writing
            middle = self._looks[len(self._looks) // 2].number
            found.append(Stretch(WRITING, self._looks[0].number, stop, share, middle, box))
        return found

    def _faces(self, frame: Callable[[int], Image.Image]) -> list[str | None]:
        """The looks that see a face: those at what is not all tissue, or some, each speaking for the next ones."""
        suspect = [at for at, look in enumerate(self._looks) if look.scores[Kind.OUTSIDE] >= SUSPECT]
        step = math.ceil(len(suspect) / (FACES_SHARE * len(self._looks)))
        seen: dict[int, bool] = {}
        for place, at in enumerate(suspect):
            alone = place % max(1, step) == 0
            seen[at] = has_face(frame(self._looks[at].number)) if alone else seen[suspect[place - 1]]
        return [FACE if seen.get(at) else None for at in range(len(self._looks))]

    def _runs(self, kinds: Sequence[str | None], ends: Sequence[int]) -> Iterator[Stretch]:
        """The runs of looks of one kind."""
        first = 0
        for here in range(1, len(kinds) + 1):
            if here < len(kinds) and kinds[here] == kinds[first]:
                continue
            kind = kinds[first]
            if kind is not None:
                scores = [1.0 if kind == FACE else look.scores[Kind(kind)] for look in self._looks[first:here]]
                best = self._looks[first + scores.index(max(scores))].number
                score = max(SURE, statistics.fmean(scores))
                yield Stretch(kind, self._looks[first].number, ends[here - 1], score, best)
            first = here


def _smoothed(kinds: Sequence[str | None]) -> list[str | None]:
    """What two of three neighbouring looks agree on; else what it was."""
    around = [kinds[max(0, here - 1) : here + 2] for here in range(len(kinds))]
    agreed = (Counter(three).most_common(1)[0] for three in around)
    return [kind if times > 1 else own for own, (kind, times) in zip(kinds, agreed, strict=True)]
