"""Cholec80-CVS: how far each criterion of the critical view of safety is met in Cholec80's videos, by intervals."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.release import (
    SEPARATOR,
    Column,
    Count,
    Release,
    VideoRows,
)
from surgstream.shards.releases.seconds import FPS
from surgstream.shards.releases.spreadsheets import sheet_lines
from surgstream.shards.releases.tables import LONGEST, Line

CRITERIA = ("two_structures", "cystic_plate", "hepatocystic_triangle")

# fmt: off
LAST_FRAMES = (
    16824, 31324, 111124, 22449, 25374, 30699, 14599, 19124, 26699, 22774,
    50924, 12949, 9199, 14749, 11200, 31224, 14574, 19549, 38724, 15924,
    16924, 11474, 15674, 18074, 22949, 18374, 22624, 17674, 12724, 20774,
    78074, 25449, 8274, 9649, 30274, 26974, 16350, 49549, 20724, 33424,
    39149, 43449, 25024, 32099, 23974, 14599, 18699, 26649, 11724, 15949,
    34174, 14599, 29074, 32799, 12049, 24874, 28124, 86674, 12224, 52524,
    35324, 27249, 17724, 27924, 28599, 16899, 26099, 23224, 43999, 13399,
    31024, 32949, 18174, 12524, 12599, 23849, 21724, 8299, 40449, 28399,
)
"""The frame before the first of ClippingCutting in Cholec80's videos 1 to 80, from which on nothing counts."""
# fmt: on

_FILES = ("surgeons_annotations.xlsx", "cholec80-CVS.xlsx")
_TIMES = ("initial_minute", "initial_second", "final_minute", "final_second")
_HIGHEST = 2


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A stretch of a video with a score for each criterion.

    Attributes:
        start: Its first moment, in seconds.
        stop: Its last moment, in seconds. In three lines of the release it is before the first: these hold nowhere.
        scores: From 0 to 2, in the order of `CRITERIA`.
    """

    start: float
    stop: float
    scores: tuple[int, ...]

    @property
    def total(self) -> int:
        """The scores' sum, from 0 to 6."""
        return sum(self.scores)


def read(root: Path) -> Iterator[VideoRows]:
    """Read the criteria as the authors take them, and the scores of all that surgeons looked at.

    `criteria` names the criteria that are met at least in part, in the last 15 % of the time before ClippingCutting;
    what lies there in no interval meets none. `score` has the sum of scores of each second that lies in an interval.
    """
    for number, intervals in sorted(_intervals(root).items()):
        video = f"video{number:02d}"
        last_frame = LAST_FRAMES[number - 1]
        scored = holding(intervals, last_frame // FPS)

        met = [(second, _met(scored.get(second))) for second in window(last_frame)]
        yield VideoRows(column="criteria", video=video, rows=met)
        if scored:
            sums = [(second, str(interval.total)) for second, interval in scored.items()]
            yield VideoRows(column="score", video=video, rows=sums)


def window(last_frame: int) -> range:
    """The seconds that the authors train and test on: of the frames up to the last one, the last 15 %."""
    num_frames = last_frame + 1
    return range(num_frames * 85 // 100 // FPS, last_frame // FPS + 1)


def holding(intervals: Iterable[Interval], last: int) -> dict[int, Interval]:
    """The seconds that lie in an interval, in order, and the interval that holds.

    Where several do it is the last one that scores above 0, as with the authors.

    Args:
        intervals: In the order of the release.
        last: The last second that counts.
    """
    found: dict[int, Interval] = {}
    # Stable: first those of 0, and then the others in their order.
    for interval in sorted(intervals, key=lambda interval: interval.total > 0):
        stop = min(math.floor(interval.stop), last) + 1
        found |= dict.fromkeys(range(math.ceil(interval.start), stop), interval)
    return dict(sorted(found.items()))


def _met(interval: Interval | None) -> str:
    """The criteria that are met at least in part."""
    if interval is None:
        return ""
    scores = zip(CRITERIA, interval.scores, strict=True)
    return SEPARATOR.join(criterion for criterion, score in scores if score > 0)


def _intervals(root: Path) -> dict[int, list[Interval]]:
    """The intervals of each video, by its number."""
    paths = [root / name for name in _FILES if (root / name).exists()]
    if len(paths) != 1:
        raise ReleaseError(f"{root}: expected one of {' and '.join(_FILES)}, got {len(paths)}")

    found: dict[int, list[Interval]] = {}
    for line in sheet_lines(paths[0], ["video", *_TIMES, *CRITERIA]):
        number = line.whole("video")
        if not 1 <= number <= len(LAST_FRAMES):
            raise line.wrong("video", f"1 to {len(LAST_FRAMES)}")
        found.setdefault(number, []).append(_interval(line))
    return found


def _interval(line: Line) -> Interval:
    for criterion in CRITERIA:
        if not 0 <= line.whole(criterion) <= _HIGHEST:
            raise line.wrong(criterion, f"0 to {_HIGHEST}")

    minutes, seconds, last_minutes, last_seconds = (
        line.decimal(time, 0, LONGEST) for time in _TIMES
    )
    return Interval(
        start=60 * minutes + seconds,
        stop=60 * last_minutes + last_seconds,
        scores=tuple(line.whole(criterion) for criterion in CRITERIA),
    )


def _videos(*numbers: int) -> frozenset[str]:
    return frozenset(f"video{number:02d}" for number in numbers)


_AUTHORS = "ManuelRios18/CHOLEC80-CVS-PUBLIC, whose frames are 5 of each second"
_TEST = (5, 6, 7, 9, 14, 22, 24, 26, 29, 33, 35, 39, 53, 55, 61)
_VAL = (1, 2, 10, 16, 17, 28, 32, 46, 47, 57, 59, 63, 65, 67, 70)
_TRAIN = tuple(number for number in range(1, 81) if number not in (*_TEST, *_VAL))

RELEASES = (
    Release(
        name="cholec80_cvs",
        title="Cholec80-CVS",
        layout=_FILES[:1],
        columns=(
            Column(name="criteria", kind="multilabel", classes=CRITERIA),
            Column(name="score", kind="number"),
        ),
        counts=(
            Count(
                what="train",
                column="criteria",
                videos=_videos(*_TRAIN),
                num_videos=50,
                num_rows=8_770,
                source=_AUTHORS,
            ),
            Count(
                what="val",
                column="criteria",
                videos=_videos(*_VAL),
                num_videos=15,
                num_rows=1_923,
                source=_AUTHORS,
            ),
            Count(
                what="test",
                column="criteria",
                videos=_videos(*_TEST),
                num_videos=15,
                num_rows=1_859,
                source=_AUTHORS,
            ),
        ),
        verified=True,
        source="ManuelRios18/CHOLEC80-CVS-PUBLIC, the code of its authors",
        read=read,
    ),
)
