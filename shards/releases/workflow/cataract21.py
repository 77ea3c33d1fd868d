"""Cataract-21: the phase of each frame of 21 cataract operations, in German."""

from collections.abc import Iterator
from pathlib import Path

from surgstream.shards.releases.release import Column, Count, Release, VideoRows
from surgstream.shards.releases.seconds import whole_seconds
from surgstream.shards.releases.tables import matching_files, plain_lines, without_heading

PHASES = {
    "not_initialized": "not_initialized",
    "Incision": "incision",
    "Viscoelasticum": "viscoelasticum",
    "Rhexis": "rhexis",
    "Hydrodissektion": "hydrodissektion",
    "Phako": "phako",
    "Irrigation-Aspiration": "irrigation_aspiration",
    "Kapselpolishing": "kapselpolishing",
    "Linsenimplantation": "linsenimplantation",
    "Visco-Absaugung": "visco_absaugung",
    "Tonisieren": "tonisieren",
    "Antibiotikum": "tonisieren",
}
"""Our name of each phase of the release. SurgVISTA and others take its last two as one."""

CLASSES = tuple(dict.fromkeys(PHASES.values()))

_PATTERNS = ("case_*.csv", "labels/case_*.csv", "videos/case_*.csv")
_LAYOUT = "labels/case_NN.csv"


def read(root: Path) -> Iterator[VideoRows]:
    """Read the phases, which have a row for each frame, from 0 on; a table is called after its video."""
    for path in matching_files(root, _PATTERNS, _LAYOUT):
        lines = without_heading(plain_lines(path, ["frame", "phase"]), "frame")
        rows = whole_seconds(lines, lambda line: line.one_of("phase", PHASES), column="frame")
        yield VideoRows(column="phase", video=path.stem, rows=tuple(rows))


RELEASES = (
    Release(
        name="cataract21",
        title="Cataract-21",
        layout=(_LAYOUT,),
        columns=(Column(name="phase", kind="class", classes=CLASSES),),
        counts=(
            Count(
                what="all videos",
                column="phase",
                num_videos=21,
                num_rows=7_716 + 937,
                source="SurgVISTA, arXiv 2506.02692: train and test",
                certain=False,
            ),
        ),
        verified=False,
        source="isyangshu/SurgVISTA",
        read=read,
    ),
)
