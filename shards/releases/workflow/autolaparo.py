"""AutoLaparo, its first task: the phase of each second of 21 hysterectomies."""

from collections.abc import Iterator
from pathlib import Path

from surgstream.shards.releases.release import Column, Count, Release, VideoRows
from surgstream.shards.releases.seconds import whole_seconds
from surgstream.shards.releases.tables import headed_lines, numbered_files

PHASES = {
    "1": "preparation",
    "2": "dividing_ligament_and_peritoneum",
    "3": "dividing_uterine_vessels_and_ligament",
    "4": "transecting_the_vagina",
    "5": "specimen_removal",
    "6": "suturing",
    "7": "washing",
}
"""Our name of each phase, by the release's number."""


def read(root: Path) -> Iterator[VideoRows]:
    """Read phases. The release's frames are seconds, the first of which it calls 1."""
    for number, path in numbered_files(root / "labels", "label_NN.txt"):
        lines = headed_lines(path, ["Frame", "Phase"], delimiter="\t")
        numbered = whole_seconds(lines, lambda line: line.one_of("Phase", PHASES), fps=1)
        rows = tuple((frame - 1, phase) for frame, phase in numbered)
        yield VideoRows(column="phase", video=number, rows=rows)


def _count(what: str, first: int, last: int, num_rows: int) -> Count:
    return Count(
        what=what,
        column="phase",
        videos=frozenset(f"{number:02d}" for number in range(first, last + 1)),
        num_videos=last - first + 1,
        num_rows=num_rows,
        source="SurgVISTA, arXiv 2506.02692",
    )


RELEASES = (
    Release(
        name="autolaparo",
        title="AutoLaparo",
        layout=("labels/label_NN.txt",),
        columns=(Column(name="phase", kind="class", classes=tuple(PHASES.values())),),
        counts=(
            _count("train", 1, 10, 40_211),
            _count("val", 11, 14, 14_972),
            _count("test", 15, 21, 28_060),
        ),
        verified=False,
        source="public code (isyangshu/SurgVISTA, isyangshu/Surgformer)",
        read=read,
    ),
)
