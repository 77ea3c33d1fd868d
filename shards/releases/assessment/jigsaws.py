"""JIGSAWS: skill and gestures of eight surgeons at three bench-top tasks, filmed by two cameras."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from surgstream.shards.releases.release import Column, Count, Release, Row, VideoLabel, VideoRows
from surgstream.shards.releases.seconds import Interval, covered_seconds
from surgstream.shards.releases.tables import LONGEST, Line, matching_files, plain_lines

TASKS = ("Knot_Tying", "Needle_Passing", "Suturing")

GESTURES = tuple(f"g{number}" for number in range(1, 16))
"""Our name of the gestures G1 to G15."""

ITEMS = (
    "respect for tissue",
    "suture and needle handling",
    "time and motion",
    "flow of operation",
    "overall performance",
    "quality of final product",
)
"""What the score is the sum of, each from 1 to 5."""

FPS = 30
"""Frames a second."""

_SCORE_FILES = tuple(f"{task}/meta_file_{task}.txt" for task in TASKS)
_CAMERAS = ("capture1", "capture2")
_SCORES = range(6, 31)


def read(root: Path) -> Iterator[VideoLabel | VideoRows]:
    """Read score and gestures of the trials; both cameras' videos of a trial have the same."""
    for path in matching_files(root, _SCORE_FILES, _SCORE_FILES[0]):
        task = path.parent.name
        yield from _scores(path, task)
        yield from _gestures(path.parent / "transcriptions", task)


def _scores(path: Path, task: str) -> Iterator[VideoLabel]:
    """Read the score of each trial; the group is the surgeon."""
    trials = re.compile(f"{task}_([A-Z])[0-9]{{3}}")

    for line in plain_lines(path, ["trial", "experience", "score", *ITEMS], delimiter=None):
        trial = trials.fullmatch(line.text("trial"))
        if not trial:
            raise line.wrong("trial", f"a trial such as {task}_B001")
        if line.whole("score") not in _SCORES:
            raise line.wrong("score", f"{_SCORES[0]} to {_SCORES[-1]}")

        for camera in _CAMERAS:
            yield VideoLabel(
                column="score",
                video=f"{trial[0]}_{camera}",
                label=line.text("score"),
                group=trial[1],
            )


def _gestures(folder: Path, task: str) -> Iterator[VideoRows]:
    """Read the gestures of those trials that were transcribed."""
    for path in sorted(folder.glob(f"{task}_*.txt")):
        rows = seconds(plain_lines(path, ["start", "end", "gesture"], delimiter=None))
        for camera in _CAMERAS:
            yield VideoRows(column="gesture", video=f"{path.stem}_{camera}", rows=rows)


def seconds(lines: Iterable[Line]) -> tuple[Row, ...]:
    """The seconds that begin within a gesture, in order; of two gestures at once the later line's counts.

    Args:
        lines: First and last frame of each gesture, counted from 1, and the gesture.

    Raises:
        ReleaseError: A gesture ends before it begins, or is not known.
    """
    return covered_seconds(map(_interval, lines))


def _interval(line: Line) -> Interval:
    start, end = line.whole("start"), line.whole("end")
    if not 0 <= start <= end <= LONGEST * FPS:
        raise line.wrong("end", f"frame {start}, with which it starts, or one after it")

    # The frames that begin a second are 1, 31, 61, ...
    names = {name.upper(): name for name in GESTURES}
    return (start - 1) / FPS, end / FPS, line.one_of("gesture", names)


RELEASES = (
    Release(
        name="jigsaws",
        title="JIGSAWS",
        layout=("TASK/meta_file_TASK.txt", "TASK/transcriptions/TASK_BNNN.txt"),
        columns=(
            Column(name="score", kind="number"),
            Column(name="gesture", kind="class", classes=GESTURES),
        ),
        counts=(
            Count(
                what="two videos each of 39, 36 and 28 trials",
                column="score",
                num_videos=206,
                source="103 trials, as many report",
                certain=False,
            ),
        ),
        verified=False,
        source="the code of several who read it, such as abcpdo/surgeon-skill-vizualization",
        read=read,
    ),
)
