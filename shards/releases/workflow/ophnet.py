"""OphNet2024: phases of 743 eye operations, as intervals in seconds, each of which is also released as a clip."""

from collections.abc import Iterator
from pathlib import Path

from surgstream.shards.releases.release import Column, Count, Release, VideoLabel, VideoRows
from surgstream.shards.releases.seconds import Interval, covered_seconds
from surgstream.shards.releases.tables import LONGEST, Line, headed_lines

PHASES = (
    "viscoelastic_injection",
    "nuclear_management_for_cataract_surgery",
    "step_interval",
    "non_functional_segment",
    "intraocular_lens_implantation",
    "incision_closure",
    "corneal_incision_creation",
    "capsulorhexis",
    "cortex_aspiration",
    "recipient_corneal_bed_preparation",
    "anterior_chamber_injection_washing",
    "viscoelastic_aspiration",
    "capsular_membrane_staining",
    "corneal_graft_suturing",
    "viscoelastic_application_on_cornea",
    "corneal_scleral_tunnel_creation",
    "swab_wiping",
    "conjunctival_incision_creation",
    "anterior_chamber_gas_injection",
    "ocular_surface_irrigation",
    "surgical_marking",
    "subconjunctival_drug_injection",
    "donor_corneal_graft_preparation",
    "scleral_hemostasis",
    "corneal_interlamellar_injection",
    "drainage_tube_implantation",
    "use_of_iris_expander",
    "drainage_device_preparation",
    "scleral_flap_creation",
    "anterior_chamber_washing",
    "suspension_suture",
    "drainage_device_implantation",
    "intraoperative_gonioscopy_application",
    "corneal_measurement",
    "scleral_flap_suturing",
    "scleral_tunnel_creation",
    "placement_of_bandage_contact_lens",
    "peripheral_iridectomy",
    "anterior_chamber_drainage_device_implantation",
    "antimetabolite_application",
    "scleral_support_ring_manipulation",
    "deep_sclerectomy",
    "anterior_vitrectomy",
    "placement_of_eyelid_speculum",
    "hooking_of_extraocular_muscle",
    "observation_of_corneal_astigmatism",
    "pupil_dilation",
    "iris_prolapse_management",
    "measurement_on_the_scleral",
    "goniotomy",
    "trabeculectomy",
    "others",
)
"""The phases, by the number in the challenge's files, in which 51 stands for all rare ones."""

_FILE = "OphNet2024_loca_challenge_phase.csv"
_NAMES = {str(number): name for number, name in enumerate(PHASES)}


def read(root: Path) -> Iterator[VideoRows | VideoLabel]:
    """Read the phases of whole videos by the second, and those of clips, whose group is their video."""
    videos: dict[str, list[Line]] = {}
    for line in headed_lines(root / _FILE, ["video_id", "start", "end", "phase_id"]):
        videos.setdefault(line.text("video_id"), []).append(line)

    for video, lines in videos.items():
        intervals = [_interval(line) for line in lines]
        # Neighbours overlap by parts of a second here and there: the later has it.
        yield VideoRows(column="phase", video=video, rows=covered_seconds(intervals))

        # The release numbers a video's clips from 0, in the order of the file.
        for number, (_, _, phase) in enumerate(intervals):
            clip = f"{video}_{number}"
            yield VideoLabel(column="clip_phase", video=clip, label=phase, group=video)


def _interval(line: Line) -> Interval:
    start = line.decimal("start", 0, LONGEST)
    return start, line.decimal("end", start, LONGEST), line.one_of("phase_id", _NAMES)


_SOURCE = "the release's own table"

RELEASES = (
    Release(
        name="ophnet",
        title="OphNet2024",
        layout=(_FILE,),
        columns=(
            Column(name="phase", kind="class", classes=PHASES),
            Column(name="clip_phase", kind="class", classes=PHASES),
        ),
        counts=(
            Count(what="all videos", column="phase", num_videos=743, source=_SOURCE),
            Count(what="all clips", column="clip_phase", num_videos=14_674, source=_SOURCE),
        ),
        verified=False,
        source="public code, where its phases have names; the table is its own",
        read=read,
    ),
)
