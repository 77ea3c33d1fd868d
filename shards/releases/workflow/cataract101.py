"""Cataract-101: the phases of 101 cataract operations by their beginnings, and who operated."""

from collections.abc import Iterator
from pathlib import Path

from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.release import (
    Column,
    Count,
    Release,
    Row,
    VideoLabel,
    VideoRows,
)
from surgstream.shards.releases.seconds import covered_seconds
from surgstream.shards.releases.tables import LONGEST, Line, headed_lines

PHASES = {
    "1": "incision",
    "2": "viscous_agent_injection",
    "3": "rhexis",
    "4": "hydrodissection",
    "5": "phacoemulsification",
    "6": "irrigation_and_aspiration",
    "7": "capsule_polishing",
    "8": "lens_implant_setting_up",
    "9": "viscous_agent_removal",
    "10": "tonifying_and_antibiotics",
}
"""Our name of each phase of the release, which writes "Phacoemulsificiation"."""

EXPERIENCE = {"1": "low", "2": "high"}
"""The surgeon's experience."""

_VIDEOS = "videos.csv"
_ANNOTATIONS = "annotations.csv"


def read(root: Path) -> Iterator[VideoRows | VideoLabel]:
    """Read the videos, with their surgeons as groups, and their phases."""
    beginnings = _beginnings(root / _ANNOTATIONS)
    columns = ["VideoID", "Frames", "FPS", "Surgeon", "Experience"]

    for line in headed_lines(root / _VIDEOS, columns, delimiter=";"):
        number = line.whole("VideoID")
        video = f"case_{number}"
        experience = line.one_of("Experience", EXPERIENCE)
        yield VideoLabel(
            column="experience",
            video=video,
            label=experience,
            group=f"surgeon_{line.whole('Surgeon')}",
        )

        if number not in beginnings:
            raise line.wrong("VideoID", f"a video that {_ANNOTATIONS} names")
        rows = seconds(beginnings.pop(number), num_frames=_frames(line), fps=line.whole("FPS"))
        yield VideoRows(column="phase", video=video, rows=rows)

    if beginnings:
        raise ReleaseError(
            f"{root / _ANNOTATIONS}: expected videos that {_VIDEOS} names, got {min(beginnings)}"
        )


def seconds(beginnings: list[tuple[int, str]], *, num_frames: int, fps: int) -> tuple[Row, ...]:
    """The seconds of a video from the first phase on, in order.

    A phase holds until the next begins, and the last one until the end. What comes before the first has no label.

    Args:
        beginnings: The first frame of each phase, from 0, and the phase; in order.
        num_frames: Frames of the video.
        fps: Frames a second.
    """
    ends = [frame for frame, _ in beginnings[1:]] + [num_frames]
    return covered_seconds(
        (start / fps, min(end, num_frames) / fps, phase)
        for (start, phase), end in zip(beginnings, ends, strict=True)
    )


def _frames(line: Line) -> int:
    fps, num_frames = line.whole("FPS"), line.whole("Frames")
    if fps < 1:
        raise line.wrong("FPS", "frames a second")
    if not 1 <= num_frames <= LONGEST * fps:
        raise line.wrong("Frames", "a number of frames")
    return num_frames


def _beginnings(path: Path) -> dict[int, list[tuple[int, str]]]:
    """First frame and name of each phase, in order, by the video's number."""
    found: dict[int, list[tuple[int, str]]] = {}
    for line in headed_lines(path, ["VideoID", "FrameNo", "Phase"], delimiter=";"):
        frame = line.whole("FrameNo")
        if frame < 0:
            raise line.wrong("FrameNo", "a frame, counted from 0")
        phases = found.setdefault(line.whole("VideoID"), [])
        phases.append((frame, line.one_of("Phase", PHASES)))

    # Stable: of two phases that begin at one frame the later line's holds.
    return {video: sorted(phases, key=lambda phase: phase[0]) for video, phases in found.items()}


# fmt: off
_LAST_FORTY = (
    857, 861, 863, 865, 866, 867, 868, 871, 880, 882, 883, 884, 886, 887, 889, 890, 891, 892, 895, 896,
    898, 899, 900, 901, 902, 906, 907, 908, 909, 911, 921, 922, 925, 926, 928, 929, 931, 932, 933, 934,
)
# fmt: on

RELEASES = (
    Release(
        name="cataract101",
        title="Cataract-101",
        layout=(_VIDEOS, _ANNOTATIONS),
        columns=(
            Column(name="phase", kind="class", classes=tuple(PHASES.values())),
            Column(name="experience", kind="class", classes=tuple(EXPERIENCE.values())),
        ),
        counts=(
            Count(
                what="all videos",
                column="phase",
                num_videos=101,
                source="the release's README",
            ),
            Count(
                what="the last 40 videos, said to be the test",
                column="phase",
                videos=frozenset(f"case_{number}" for number in _LAST_FORTY),
                num_videos=40,
                num_rows=18_215,
                source="SurgVISTA, arXiv 2506.02692, by the list in isyangshu/Surgformer",
                certain=False,
            ),
        ),
        verified=True,
        source="the release's README, in Siiichenggg/SurgRec-open-source",
        read=read,
    ),
)
