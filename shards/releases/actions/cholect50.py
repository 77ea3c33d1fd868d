"""CholecT50 and CholecT45: the triplets of instrument, verb and target of each second of cholecystectomies."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.actions.triplets import TRIPLETS
from surgstream.shards.releases.documents import json_of, member
from surgstream.shards.releases.release import SEPARATOR, Column, Count, Release, Row, VideoRows
from surgstream.shards.releases.seconds import whole_seconds
from surgstream.shards.releases.tables import Line, numbered_files, plain_lines

PHASES = (
    "preparation",
    "carlot_triangle_dissection",
    "clipping_and_cutting",
    "gallbladder_dissection",
    "gallbladder_packaging",
    "cleaning_and_coagulation",
    "gallbladder_extraction",
)
"""The phases of CholecT50, by its number."""

_TRIPLET, _PHASE = 0, 14
"""Places of the 15 numbers that describe what one instrument does."""

_NUM_ENTRIES = 15
_ABSENT = -1
_COLUMNS = ("frame", *TRIPLETS)


def read_t50(root: Path) -> Iterator[VideoRows]:
    """Read CholecT50: a JSON file a video, with a list of numbers for each instrument of each second."""
    for number, path in numbered_files(root / "labels", "VIDNN.json"):
        triplets: list[Row] = []
        phases: list[Row] = []
        for second, instances in _seconds(path):
            where = f"{path}: annotations: {second}"
            seen = _named(instances, _TRIPLET, TRIPLETS, where)
            triplets.append((second, SEPARATOR.join(seen)))

            under_way = _named(instances, _PHASE, PHASES, where)
            if len(under_way) > 1:
                raise ReleaseError(f"{where}: expected one phase, got {', '.join(under_way)}")
            phases += [(second, phase) for phase in under_way]

        video = f"VID{number}"
        yield VideoRows(column="triplet", video=video, rows=triplets)
        yield VideoRows(column="phase", video=video, rows=phases)


def _seconds(path: Path) -> list[tuple[int, list[Any]]]:
    """The seconds of a video, in order, and what each instrument does in them."""
    annotations = member(json_of(path), "annotations", dict, str(path))
    for frame in annotations:
        if not (frame.isascii() and frame.isdigit() and len(frame) <= 15):
            raise ReleaseError(f"{path}: annotations: expected a frame's number, got {frame!r:.80}")

    seconds = [(int(frame), frame) for frame in annotations]
    where = f"{path}: annotations"
    return [(second, member(annotations, frame, list, where)) for second, frame in sorted(seconds)]


def _named(instances: list[Any], place: int, classes: Sequence[str], where: str) -> list[str]:
    """The classes that the instances of a second name at a place, each once, in order."""
    numbers = {_number(instance, place, len(classes), where) for instance in instances}
    return [classes[number] for number in sorted(numbers - {_ABSENT})]


def _number(instance: Any, place: int, num_classes: int, where: str) -> int:
    """The number of a class, or -1, among those of an instance; a whole one may be written as 3.0."""
    if not isinstance(instance, list) or len(instance) != _NUM_ENTRIES:
        raise ReleaseError(
            f"{where}: expected lists of {_NUM_ENTRIES} numbers, got {instance!r:.80}"
        )

    value = instance[place]
    if not isinstance(value, int | float) or value not in range(_ABSENT, num_classes):
        raise ReleaseError(
            f"{where}: expected -1 to {num_classes - 1} at place {place} of {_NUM_ENTRIES}, got "
            f"{value!r:.80}"
        )
    return int(value)


def read_t45(root: Path) -> Iterator[VideoRows]:
    """Read CholecT45: a table a video, with a line a second of its number and 100 times 0 or 1."""
    for number, path in numbered_files(root / "triplet", "VIDNN.txt"):
        lines = plain_lines(path, _COLUMNS)
        rows = tuple(whole_seconds(lines, _flagged, column="frame", fps=1))
        yield VideoRows(column="triplet", video=f"VID{number}", rows=rows)


def _flagged(line: Line) -> str:
    return SEPARATOR.join(triplet for triplet in TRIPLETS if line.flag(triplet))


_NOT_OF_T45 = frozenset({"VID92", "VID96", "VID103", "VID110", "VID111"})
_TRIPLET_COLUMN = Column(name="triplet", kind="multilabel", classes=TRIPLETS)

RELEASES = (
    Release(
        name="cholect50",
        title="CholecT50",
        layout=("labels/VIDNN.json",),
        columns=(_TRIPLET_COLUMN, Column(name="phase", kind="class", classes=PHASES)),
        counts=(
            Count(
                what="all videos",
                column="triplet",
                num_videos=50,
                num_rows=100_863,
                source="arXiv 2109.03223",
            ),
            Count(
                what="test of the challenge",
                column="triplet",
                videos=_NOT_OF_T45,
                num_videos=5,
                num_rows=10_374,
                source="SurgVISTA, arXiv 2506.02692",
            ),
        ),
        verified=True,
        source="github.com/CAMMA-public/cholect50",
        read=read_t50,
    ),
    Release(
        name="cholect45",
        title="CholecT45",
        layout=("triplet/VIDNN.txt",),
        columns=(_TRIPLET_COLUMN,),
        counts=(
            Count(
                what="all videos",
                column="triplet",
                num_videos=45,
                num_rows=90_489,
                source="github.com/CAMMA-public/cholect45",
            ),
        ),
        verified=True,
        source="github.com/CAMMA-public/cholect45",
        read=read_t45,
    ),
)
