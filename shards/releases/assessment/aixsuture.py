"""AIxSuture: the skill of 157 students in 314 videos of open suturing, before and after a course."""

from collections.abc import Iterator
from pathlib import Path

from surgstream.shards.releases.release import Column, Count, Release, VideoLabel
from surgstream.shards.releases.spreadsheets import sheet_lines

LEVELS = ("novice", "intermediate", "expert")
"""Classes of the global rating score, the sum of eight items from 1 to 5: below 16, below 24, and above."""

_FILE = "OSATS.xlsx"
_SCORE = "GLOBA_RATING_SCORE"
_SCORES = range(8, 41)
_BOUNDS = (16, 24)


def read(root: Path) -> Iterator[VideoLabel]:
    """Read each video's score, the mean of its raters, and level; the group is the student."""
    scores: dict[str, list[int]] = {}
    students: dict[str, str] = {}

    for line in sheet_lines(root / _FILE, ["VIDEO", "STUDENT", _SCORE]):
        if line.whole(_SCORE) not in _SCORES:
            raise line.wrong(_SCORE, f"{_SCORES[0]} to {_SCORES[-1]}")
        video, student = line.text("VIDEO"), line.text("STUDENT")
        if students.setdefault(video, student) != student:
            raise line.wrong("STUDENT", f"{students[video]}, as above of {video}")
        scores.setdefault(video, []).append(line.whole(_SCORE))

    for video, ratings in scores.items():
        mean = sum(ratings) / len(ratings)
        group = students[video]
        yield VideoLabel(column="score", video=video, label=f"{mean:g}", group=group)
        yield VideoLabel(column="level", video=video, label=level(mean), group=group)


def level(score: float) -> str:
    """The level of a score."""
    return LEVELS[sum(score >= bound for bound in _BOUNDS)]


RELEASES = (
    Release(
        name="aixsuture",
        title="AIxSuture",
        layout=(_FILE,),
        columns=(
            Column(name="score", kind="number"),
            Column(name="level", kind="class", classes=LEVELS),
        ),
        counts=(
            Count(
                what="all videos",
                column="score",
                num_videos=314,
                source="the split files of Siiichenggg/SurgRec-open-source",
                certain=False,
            ),
        ),
        verified=False,
        source="the code of its authors (nct_tso_public/aixsuture at gitlab.com)",
        read=read,
    ),
)
