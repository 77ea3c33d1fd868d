"""PmLR50: the phase of each second of 50 laparoscopic liver resections with the Pringle manoeuvre."""

from collections.abc import Iterator
from pathlib import Path

from surgstream.shards.releases.release import Column, Count, Release, VideoRows
from surgstream.shards.releases.seconds import whole_seconds
from surgstream.shards.releases.tables import numbered_files, plain_lines, without_heading

PHASES = {
    "0": "preparation_stage",
    "1": "knotting_of_the_foley_catheter",
    "2": "procedure_of_the_liver_resection",
    "3": "release_of_the_foley_catheter",
    "4": "postprocessing_stage",
}
"""Our name of each phase of the release, which has numbers."""

_PAPER = "SurgVISTA, arXiv 2506.02692"
_VAL = (34, 35, 36, 37, 48)
_TEST = range(38, 48)
_TRAIN = (*range(1, 34), 49, 50)


def read(root: Path) -> Iterator[VideoRows]:
    """Read the phases, which have a row for each image; of these there is one a second, from 0 on."""
    for number, path in numbered_files(root / "phase_annotations", "NN.txt"):
        lines = without_heading(plain_lines(path, ["frame", "phase"], delimiter=None), "frame")
        rows = whole_seconds(
            lines, lambda line: line.one_of("phase", PHASES), column="frame", fps=1
        )
        yield VideoRows(column="phase", video=number, rows=tuple(rows))


def _videos(*numbers: int) -> frozenset[str]:
    return frozenset(f"{number:02d}" for number in numbers)


RELEASES = (
    Release(
        name="pmlr50",
        title="PmLR50",
        layout=("phase_annotations/NN.txt",),
        columns=(Column(name="phase", kind="class", classes=tuple(PHASES.values())),),
        counts=(
            Count(
                what="train",
                column="phase",
                videos=_videos(*_TRAIN),
                num_videos=35,
                num_rows=17_378,
                source=_PAPER,
            ),
            Count(
                what="val",
                column="phase",
                videos=_videos(*_VAL),
                num_videos=5,
                num_rows=2_309,
                source=_PAPER,
            ),
            Count(
                what="test",
                column="phase",
                videos=_videos(*_TEST),
                num_videos=10,
                num_rows=5_350,
                source=_PAPER,
            ),
        ),
        verified=False,
        source="RascalGdd/PmNet, and the phases' names from CAIR-HKISI/SurgMotion",
        read=read,
    ),
)
