"""MultiBypass140: phases and steps of 140 gastric bypasses of two centres, as intervals in milliseconds."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.documents import json_of, member
from surgstream.shards.releases.release import Column, Count, Release, VideoRows
from surgstream.shards.releases.seconds import Interval, covered_seconds
from surgstream.shards.releases.tables import LONGEST, numbered_files

PHASES = (
    "preparation",
    "gastric_pouch_creation",
    "omentum_division",
    "gastrojejunal_anastomosis",
    "anastomosis_test",
    "jejunal_separation",
    "closure_petersen_space",
    "jejunojejunal_anastomosis",
    "closure_mesenteric_defect",
    "cleaning_coagulation",
    "disassembling",
    "other_intervention",
)
"""The phases, by the release's number."""

OUT_OF_BODY = "out_of_body"
"""The release's 13th: it lies over a phase, whose seconds it takes, and before and behind all of them."""

_SEVERE_INDEX = "severe_index"
"""The release's 14th: it lies over a phase too, and is none."""

STEPS = (
    "s0_null_step",
    "s1_cavity_exploration",
    "s2_trocar_placement",
    "s3_retractor_placement",
    "s4_crura_dissection",
    "s5_his_angle_dissection",
    "s6_horizontal_stapling",
    "s7_retrogastric_dissection",
    "s8_vertical_stapling",
    "s9_gastric_remnant_reinforcement",
    "s10_gastric_pouch_reinforcement",
    "s11_gastric_opening",
    "s12_omental_lifting",
    "s13_omental_section",
    "s14_adhesiolysis",
    "s15_treitz_angle_identification",
    "s16_biliary_limb_measurement",
    "s17_jejunum_opening",
    "s18_gastrojejunal_stapling",
    "s19_gastrojejunal_defect_closing",
    "s20_mesenteric_opening",
    "s21_jejunal_section",
    "s22_gastric_tube_placement",
    "s23_jejunal_clamping",
    "s24_ink_injection",
    "s25_visual_assessment",
    "s26_gastrojejunal_anastomosis_reinforcement",
    "s27_petersen_space_exposure",
    "s28_petersen_space_closing",
    "s29_biliary_limb_opening",
    "s30_alimentary_limb_measurement",
    "s31_alimentary_limb_opening",
    "s32_jejunojejunal_stapling",
    "s33_jejunojejunal_defect_closing",
    "s34_jejunojejunal_anastomosis_reinforcement",
    "s35_staple_line_reinforcement",
    "s36_mesenteric_defect_exposure",
    "s37_mesenteric_defect_closing",
    "s38_anastomosis_fixation",
    "s39_coagulation",
    "s40_irrigation_aspiration",
    "s41_parietal_closure",
    "s42_trocar_removal",
    "s43_calibration",
    "s44_drainage_insertion",
    "s45_specimen_retrieval",
)
"""The steps, by the release's number."""

_CENTRES = {"bern": "BBP", "strasbourg": "SBP"}
"""How the videos of each centre are called, without their number."""


def read(root: Path) -> Iterator[VideoRows]:
    """Read phases and steps. The folds lie beside them as pickles, which are never opened."""
    for centre, name in _CENTRES.items():
        folder = root / "labels" / centre / "labels_by70"
        for number, path in numbered_files(folder, f"{name}NN.mp4.json"):
            tree = json_of(path)
            every = _intervals(tree, "phases", path)
            phases = [interval for interval in every if interval[2] != _SEVERE_INDEX]
            # What lies over others comes last, and so has their seconds.
            phases.sort(key=lambda interval: interval[2] == OUT_OF_BODY)

            video = f"{name}{number}"
            yield VideoRows(column="phase", video=video, rows=covered_seconds(phases))
            steps = _intervals(tree, "steps", path)
            yield VideoRows(column="step", video=video, rows=covered_seconds(steps))


def _intervals(tree: Mapping[str, Any], kind: str, path: Path) -> Iterator[Interval]:
    for index, item in enumerate(member(tree, kind, list, str(path))):
        where = f"{path}: {kind}[{index}]"
        start = member(item, "start", int, where)
        end = member(item, "end", int, where)
        if not 0 <= start <= end <= LONGEST * 1000:
            raise ReleaseError(
                f"{where}: expected milliseconds with start before end, got {start} to {end}"
            )
        yield start / 1000, end / 1000, member(item, "label_name", str, where)


def _count(column: str, what: str, name: str, num_rows: int) -> Count:
    return Count(
        what=what,
        column=column,
        videos=frozenset(f"{name}{number:02d}" for number in range(1, 71)),
        num_videos=70,
        num_rows=num_rows,
        source="counted in the release's files of 2025",
    )


RELEASES = (
    Release(
        name="multibypass140",
        title="MultiBypass140",
        layout=(
            "labels/bern/labels_by70/BBPNN.mp4.json",
            "labels/strasbourg/labels_by70/SBPNN.mp4.json",
        ),
        columns=(
            Column(name="phase", kind="class", classes=(*PHASES, OUT_OF_BODY)),
            Column(name="step", kind="class", classes=STEPS),
        ),
        # Others have extracted 303,764 and 457,787 frames of the videos, not all of which have labels.
        counts=(
            _count("phase", "BernBypass70", "BBP", 312_888),
            _count("phase", "StrasBypass70", "SBP", 464_989),
            _count("step", "BernBypass70", "BBP", 305_932),
            _count("step", "StrasBypass70", "SBP", 464_843),
        ),
        verified=True,
        source="github.com/CAMMA-public/MultiBypass140",
        read=read,
    ),
)
