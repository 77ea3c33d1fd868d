"""PitVis-2023: step and instruments of each second of 25 pituitary operations, of which 24 have labels."""

from collections.abc import Iterator
from pathlib import Path

from surgstream.shards.releases.release import SEPARATOR, Column, Count, Release, VideoRows
from surgstream.shards.releases.tables import Line, headed_lines, numbered_files

OUT_OF_PATIENT = "out_of_patient"
"""The release's -1: before the operation, after it, or while the endoscope is outside."""

STEPS = {
    "-1": OUT_OF_PATIENT,
    "1": "nasal_corridor_creation",
    "2": "anterior_sphenoidotomy",
    "3": "septum_displacement",
    "4": "sphenoid_sinus_clearance",
    "5": "sellotomy",
    "6": "durotomy",
    "7": "tumour_excision",
    "8": "haemostasis",
    "9": "synthetic_graft_placement",
    "10": "fat_graft_placement",
    "11": "gasket_seal_construct",
    "12": "dural_sealant",
    "13": "nasal_packing",
    "14": "debris_clearance",
}
"""Our name of each step, by the release's number; there is no 0."""

INSTRUMENTS = {
    "1": "bipolar_forceps",
    "2": "cottle",
    "3": "cup_forceps",
    "4": "dural_scissors",
    "5": "freer_elevator",
    "6": "haemostatic_foam",
    "7": "irrigation_syringe",
    "8": "kerrisons",
    "9": "micro_doppler",
    "10": "nasal_cutting_forceps",
    "11": "pituitary_rongeurs",
    "12": "retractable_knife",
    "13": "ring_curette",
    "14": "spatula_dissector",
    "15": "stealth_pointer",
    "16": "suction",
    "17": "surgical_drill",
    "18": "tissue_glue",
}
"""Our name of each instrument, by the release's number."""

_SEEN = {"-2": "", "-1": "", "0": "", **INSTRUMENTS}
"""What may stand for an instrument: -2 no second one, -1 out of the patient, 0 none in sight."""

_COLUMNS = ("int_time", "int_step", "int_instrument1", "int_instrument2")


def read(root: Path) -> Iterator[VideoRows]:
    """Read steps and instruments. Outside of the patient nobody has looked for instruments: there are no such rows."""
    for number, path in numbered_files(root, "annotations_NN.csv"):
        lines = list(headed_lines(path, _COLUMNS))
        steps = tuple((line.whole("int_time"), line.one_of("int_step", STEPS)) for line in lines)
        instruments = tuple(
            (second, _instruments(line))
            for (second, step), line in zip(steps, lines, strict=True)
            if step != OUT_OF_PATIENT
        )

        video = f"video_{number}"
        yield VideoRows(column="step", video=video, rows=steps)
        yield VideoRows(column="instruments", video=video, rows=instruments)


def _instruments(line: Line) -> str:
    names = [line.one_of(column, _SEEN) for column in ("int_instrument1", "int_instrument2")]
    # One may be named twice.
    return SEPARATOR.join(dict.fromkeys(filter(None, names)))


_SOURCE = "counted in the 24 published files by others"

RELEASES = (
    Release(
        name="pitvis",
        title="PitVis-2023",
        layout=("annotations_NN.csv",),
        columns=(
            Column(name="step", kind="class", classes=tuple(STEPS.values())),
            Column(name="instruments", kind="multilabel", classes=tuple(INSTRUMENTS.values())),
        ),
        # Video 19 has no labels. The 120,018 frames that are also published are of all 25.
        counts=(
            Count(
                what="all videos",
                column="step",
                num_videos=24,
                num_rows=115_586,
                source=_SOURCE,
            ),
            Count(
                what="all videos",
                column="instruments",
                num_videos=24,
                num_rows=105_110,
                source=_SOURCE,
            ),
        ),
        verified=False,
        source="the public code and notes of its users",
        read=read,
    ),
)
