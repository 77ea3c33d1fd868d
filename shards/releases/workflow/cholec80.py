"""Cholec80: the phase of each frame, and the tools of each second, of 80 cholecystectomies."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from surgstream.shards.releases.release import SEPARATOR, Column, Count, Release, Row, VideoRows
from surgstream.shards.releases.seconds import whole_seconds
from surgstream.shards.releases.tables import Line, headed_lines, numbered_files

PHASES = {
    "Preparation": "preparation",
    "CalotTriangleDissection": "calot_triangle_dissection",
    "ClippingCutting": "clipping_cutting",
    "GallbladderDissection": "gallbladder_dissection",
    "GallbladderPackaging": "gallbladder_packaging",
    "CleaningCoagulation": "cleaning_coagulation",
    "GallbladderRetraction": "gallbladder_retraction",
}
"""Our name of each phase of the release."""

TOOLS = {
    "Grasper": "grasper",
    "Bipolar": "bipolar",
    "Hook": "hook",
    "Scissors": "scissors",
    "Clipper": "clipper",
    "Irrigator": "irrigator",
    "SpecimenBag": "specimen_bag",
}
"""Our name of each tool of the release."""

_FRAMES = "1 of 25 frames; the lengths of its annotations"
_TRAIN = frozenset(f"video{number:02d}" for number in range(1, 41))
_TEST = frozenset(f"video{number:02d}" for number in range(41, 81))
_IN_M2CAI16 = frozenset({"video73", "video77", "video78", "video79", "video80"})


def read(root: Path) -> Iterator[VideoRows]:
    """Read phases, which have a row for each frame, and tools, which have one for every 25th."""
    for number, path in numbered_files(root / "phase_annotations", "videoNN-phase.txt"):
        rows = read_phases(path, PHASES)
        yield VideoRows(column="phase", video=f"video{number}", rows=rows)

    for number, path in numbered_files(root / "tool_annotations", "videoNN-tool.txt"):
        lines = headed_lines(path, ["Frame", *TOOLS], delimiter="\t")
        rows = tuple(whole_seconds(lines, _tools))
        yield VideoRows(column="tools", video=f"video{number}", rows=rows)


def read_phases(path: Path, names: Mapping[str, str]) -> tuple[Row, ...]:
    """Read a table that has a line `Frame Phase` for each frame.

    Args:
        path: The file.
        names: Our name of each phase.

    Raises:
        OSError: It cannot be opened.
        ReleaseError: It is damaged.
    """
    lines = headed_lines(path, ["Frame", "Phase"], delimiter="\t")
    return tuple(whole_seconds(lines, lambda line: line.one_of("Phase", names)))


def _tools(line: Line) -> str:
    return SEPARATOR.join(name for tool, name in TOOLS.items() if line.flag(tool))


# A video's last second has a phase, and no tools: so the numbers of the two differ by one a video.
RELEASES = (
    Release(
        name="cholec80",
        title="Cholec80",
        layout=("phase_annotations/videoNN-phase.txt", "tool_annotations/videoNN-tool.txt"),
        columns=(
            Column(name="phase", kind="class", classes=tuple(PHASES.values())),
            Column(name="tools", kind="multilabel", classes=tuple(TOOLS.values())),
        ),
        counts=(
            Count(
                what="train",
                column="phase",
                videos=_TRAIN,
                num_videos=40,
                num_rows=86_344,
                source="SurgVISTA, arXiv 2506.02692",
            ),
            Count(
                what="test",
                column="phase",
                videos=_TEST,
                num_videos=40,
                num_rows=98_234,
                source=_FRAMES,
            ),
            Count(
                what="test without the videos of M2CAI16",
                column="phase",
                videos=_TEST - _IN_M2CAI16,
                num_videos=35,
                num_rows=88_494,
                source="SurgVISTA, arXiv 2506.02692",
            ),
            Count(
                what="all videos",
                column="tools",
                num_videos=80,
                num_rows=184_498,
                source="frames of Cholec80 at one a second, as counted by many",
            ),
        ),
        verified=True,
        source="the release's description, and CAMMA-public/TF-Cholec80",
        read=read,
    ),
)
