"""Endoscapes-CVS201: the critical view of safety of 201 cholecystectomies, as three raters have seen it.

Its frames are called after their number in a video of 25 frames a second, of which it has a part: second 0 is that of
the first of them, rated or not, as it is when they are packed.
"""

from collections.abc import Iterator
from pathlib import Path

from surgstream.shards.releases.release import SEPARATOR, Column, Count, Release, VideoRows
from surgstream.shards.releases.seconds import whole_seconds
from surgstream.shards.releases.tables import Line, headed_lines

CRITERIA = {
    "C1": "two_structures",
    "C2": "hepatocystic_triangle",
    "C3": "cystic_plate",
}
"""Our name of each criterion, by the release's."""

_KEYFRAME = "is_ds_keyframe"
_YES_OR_NO = {"True": "yes", "False": "no"}
_MAJORITY = 0.5
"""The least mean of raters, each of whom says 0 or 1, that meets a criterion."""


def read(root: Path) -> Iterator[VideoRows]:
    """Read the criteria of key frames, which were rated, and their sum for all frames.

    Frames between key frames have the ratings of one beside them. Frames without any are left out.
    """
    videos: dict[str, list[Line]] = {}
    for line in headed_lines(root / "all_metadata.csv", ["vid", "frame", *CRITERIA, _KEYFRAME]):
        videos.setdefault(str(line.whole("vid")), []).append(line)

    for video, frames in videos.items():
        first = min(line.whole("frame") for line in frames)
        lines = [line for line in frames if line.text("C1")]
        keyframes = [line for line in lines if line.one_of(_KEYFRAME, _YES_OR_NO) == "yes"]
        rated = sorted(whole_seconds(keyframes, _criteria, column="frame", first=first))
        if rated:
            yield VideoRows(column="cvs", video=video, rows=rated)

        sums = sorted(whole_seconds(lines, _sum, column="frame", first=first))
        if sums:
            yield VideoRows(column="cvs_sum", video=video, rows=sums)


def _met(line: Line) -> list[str]:
    return [name for column, name in CRITERIA.items() if line.decimal(column, 0, 1) >= _MAJORITY]


def _criteria(line: Line) -> str:
    return SEPARATOR.join(_met(line))


def _sum(line: Line) -> str:
    return str(len(_met(line)))


def _counts(what: str, first: int, last: int, num_keyframes: int, num_frames: int) -> list[Count]:
    videos = frozenset(str(number) for number in range(first, last + 1))
    keyframes = Count(
        what=what,
        column="cvs",
        videos=videos,
        num_rows=num_keyframes,
        source="arXiv 2312.12429",
    )
    frames = Count(
        what=what,
        column="cvs_sum",
        videos=videos,
        num_videos=last - first + 1,
        num_rows=num_frames,
        source="SurgVISTA, arXiv 2506.02692",
    )
    return [keyframes, frames]


RELEASES = (
    Release(
        name="endoscapes",
        title="Endoscapes-CVS201",
        layout=("all_metadata.csv",),
        columns=(
            Column(name="cvs", kind="multilabel", classes=tuple(CRITERIA.values())),
            Column(name="cvs_sum", kind="class", classes=("0", "1", "2", "3")),
        ),
        counts=(
            *_counts("train", 1, 120, 6_960, 36_694),
            *_counts("val", 121, 161, 2_331, 12_372),
            *_counts("test", 162, 201, 1_799, 9_747),
        ),
        verified=False,
        source="its description and the public code of its users",
        read=read,
    ),
)
