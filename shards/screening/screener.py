"""Screening of a video's frames while they are packed."""

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
from surgstream.shards.screening.frame_scores import SURE, FrameScores, Kind, kind_of, score_frame
from surgstream.shards.screening.regions import Rectangle

FACE = "face"
"""Kind of finding: a face anywhere in a frame."""

WRITING = "writing"
"""Kind of finding: writing that is burnt into the whole video."""

SUSPECT = 0.1
"""Least score of frames in which something outside of the body may be in sight."""

KINDS = (*(str(kind) for kind in Kind), FACE, WRITING)

_OBSTACLES: dict[str, Callable[[], str | None]] = {FACE: faces.obstacle}
"""Functions that say why a kind cannot be looked for; all other kinds need nothing but the frames."""

FACES_EVERY = 2
"""Every second look is searched for a face: a search takes several times as long as all other scores."""

FACES_SUSPECTS = 0.25
"""Of the other looks, those that may be outside of the body are searched too, up to this share of all looks."""


def obstacles(kinds: Iterable[str]) -> dict[str, str]:
    """Find those of some kinds that cannot be looked for on this machine, each with the reason and what helps."""
    found = {}
    for kind in kinds:
        reason = _OBSTACLES[kind]() if kind in _OBSTACLES else None
        if reason is not None:
            found[kind] = reason
    return found


@dataclass(frozen=True)
class FrameEvidence:
    """The evidence of one frame."""

    scores: FrameScores
    strokes: Strokes


@dataclass(frozen=True)
class ScoredFrame:
    """A scored frame: its number, and the scores."""

    number: int
    scores: FrameScores


@dataclass(frozen=True)
class Interval:
    """A stretch of a video that a rule has found.

    Attributes:
        kind: One of `KINDS`.
        first: Its first frame.
        stop: The first frame after it.
        score: 0.5 to 1.
        shown: The frame that shows it best.
        box: Its place in the frame; all of the frame if None.
    """

    kind: str
    first: int
    stop: int
    score: float
    shown: int
    box: Rectangle | None = None


class FrameScreener:
    """Collects the evidence of a video's frames; see `shards.video.frames.FrameObserver`."""

    def __init__(self) -> None:
        self._looks: list[ScoredFrame] = []
        self._overlay = Overlay()

    def score(self, image: Image.Image) -> FrameEvidence:
        """Score a frame."""
        return FrameEvidence(score_frame(np.asarray(image)), strokes_in(image))

    def add(self, number: int, seen: FrameEvidence) -> None:
        """Record the evidence of frame `number`."""
        self._looks.append(ScoredFrame(number, seen.scores))
        if seen.scores[Kind.BLACK] < SURE:
            self._overlay.add(seen.strokes)

    @property
    def has_tissue_colours(self) -> bool:
        """Whether most of the video has the colours of tissue, so that frames without them are outside."""
        scores = []
        for look in self._looks:
            if kind_of(look.scores) in (None, Kind.OUT_OF_BODY):
                scores.append(look.scores[Kind.OUT_OF_BODY])
        return not scores or statistics.median(scores) < SURE

    def intervals(self, stop: int, frame: Callable[[int], Image.Image]) -> list[Interval]:
        """Find all stretches.

        Args:
            stop: The number after the last frame's.
            frame: Gives the frame of a number once more.
        """
        if not self._looks:
            return []

        # A look speaks for all frames up to the next one.
        ends = [look.number for look in self._looks[1:]] + [stop]
        found = list(self._runs(_smoothed(self._kinds()), ends))
        found += self._faces(stop, frame)

        writing = self._overlay.find()
        if writing is not None:
            box, share = writing
            first = self._looks[0].number
            middle = self._looks[len(self._looks) // 2].number
            found.append(Interval(WRITING, first, stop, share, middle, box))
        return found

    def _kinds(self) -> list[Kind | None]:
        """Tell the kind of each look; none is outside in a video that lacks the colours of tissue."""
        kinds = [kind_of(look.scores) for look in self._looks]
        if self.has_tissue_colours:
            return kinds
        return [None if kind is Kind.OUT_OF_BODY else kind for kind in kinds]

    def _faces(self, stop: int, frame: Callable[[int], Image.Image]) -> Iterator[Interval]:
        """Find faces. A stretch ends at the nearest frames, on both sides, that were searched and show none."""
        if obstacles([FACE]):
            return

        numbers = [self._looks[at].number for at in self._searched()]
        scores = [faces.face_score(frame(number)) for number in numbers]
        begins = [numbers[0], *(number + 1 for number in numbers)]
        ends = [*numbers[1:], stop]

        for seen, run in itertools.groupby(range(len(scores)), key=lambda at: scores[at] > 0):
            if not seen:
                continue
            hits = list(run)
            best = max(hits, key=scores.__getitem__)
            score = statistics.fmean(scores[at] for at in hits)
            yield Interval(FACE, begins[hits[0]], ends[hits[-1]], score, numbers[best])

    def _searched(self) -> list[int]:
        """Select the looks that are searched for faces."""
        regular = range(0, len(self._looks), FACES_EVERY)
        suspects = []
        for at, look in enumerate(self._looks):
            if at not in regular and look.scores[Kind.OUT_OF_BODY] >= SUSPECT:
                suspects.append(at)

        most_suspects = FACES_SUSPECTS * len(self._looks)
        step = max(1, math.ceil(len(suspects) / most_suspects))
        return sorted([*regular, *suspects[::step]])

    def _runs(self, kinds: Sequence[Kind | None], ends: Sequence[int]) -> Iterator[Interval]:
        """Find the runs of looks of one kind."""
        first = 0
        for kind, run in itertools.groupby(kinds):
            stop = first + len(list(run))
            if kind is not None:
                looks = self._looks[first:stop]
                scores = [look.scores[kind] for look in looks]
                best = looks[scores.index(max(scores))].number
                score = max(SURE, statistics.fmean(scores))
                yield Interval(str(kind), looks[0].number, ends[stop - 1], score, best)
            first = stop


def _smoothed(kinds: Sequence[Kind | None]) -> list[Kind | None]:
    """Give each look the kind of two among it and its neighbours; its own where all differ."""
    smoothed = []
    for at, own in enumerate(kinds):
        neighbours = kinds[max(0, at - 1) : at + 2]
        kind, count = Counter(neighbours).most_common(1)[0]
        smoothed.append(kind if count > 1 else own)
    return smoothed
