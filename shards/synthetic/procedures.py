"""The datasets of the synthetic corpus, their procedures, and the phases and acts of each procedure."""

from dataclasses import KW_ONLY, dataclass
from typing import Literal


@dataclass(frozen=True)
class Act:
    """One instrument doing one thing.

    Attributes:
        tool: Name of the instrument in `tools.TOOLS`.
        verb: The action.
        target: A landmark of the scene.
        side: Direction the shaft comes from, in degrees: 0 from the right, 90 from below, 180 from the left.
        span: First and last moment as fractions of its phase.
        stain: Change of the stain's level: blood that comes or is rinsed away, a clouded lens that is removed.
        smoke: Whether it burns.
    """

    tool: str
    verb: str
    target: str
    side: float
    span: tuple[float, float]
    _: KW_ONLY
    stain: float = 0.0
    smoke: bool = False


@dataclass(frozen=True)
class Phase:
    """A part of an operation: its share of the video, the camera's stand at its end, and its acts."""

    name: str
    share: float
    stand: str
    acts: tuple[Act, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Procedure:
    """An operation.

    Attributes:
        name: As in the corpus file.
        specialty: As in the corpus file.
        scenery: The scene that the camera sees.
        phases: The phases in order.
        travel: Fraction of a phase in which the camera moves from the last stand to the next.
        clouded: Level of the stain at the start.
    """

    name: str
    specialty: str
    scenery: Literal["gallbladder", "appendix", "eye", "colon"]
    phases: tuple[Phase, ...]
    travel: float = 0.3
    clouded: float = 0.0


CHOLECYSTECTOMY = Procedure(
    name="cholecystectomy",
    specialty="general_surgery",
    scenery="gallbladder",
    phases=(
        Phase(
            "preparation",
            0.14,
            "overview",
            (Act("grasper", "grasp", "gallbladder_fundus", 200, (0.3, 1)),),
        ),
        Phase(
            "calot_triangle_dissection",
            0.28,
            "cystic_duct",
            (
                Act("grasper", "retract", "gallbladder_fundus", 195, (0, 0.97)),
                Act("hook", "dissect", "cystic_duct", 20, (0.12, 0.55), smoke=True),
                Act("hook", "dissect", "cystic_duct", 30, (0.62, 0.97), smoke=True),
            ),
        ),
        Phase(
            "clipping_and_cutting",
            0.20,
            "cystic_duct",
            (
                Act("grasper", "retract", "gallbladder_body", 200, (0, 0.97)),
                Act("clipper", "clip", "cystic_duct", 15, (0.08, 0.5)),
                Act("scissors", "cut", "cystic_duct", 25, (0.55, 0.97), stain=0.6),
            ),
        ),
        Phase(
            "gallbladder_dissection",
            0.24,
            "gallbladder_body",
            (
                Act("grasper", "retract", "gallbladder_fundus", 215, (0, 0.97)),
                Act("hook", "dissect", "gallbladder_body", 10, (0.1, 0.95), smoke=True),
            ),
        ),
        Phase(
            "cleaning_and_coagulation",
            0.14,
            "liver",
            (Act("irrigator", "irrigate", "liver", 25, (0.05, 0.9), stain=-0.7),),
        ),
    ),
)

APPENDECTOMY = Procedure(
    name="appendectomy",
    specialty="general_surgery",
    scenery="appendix",
    phases=(
        Phase(
            "exploration", 0.22, "bowel", (Act("grasper", "retract", "bowel", 200, (0.3, 0.95)),)
        ),
        Phase(
            "mesoappendix_dissection",
            0.34,
            "mesoappendix",
            (
                Act("grasper", "grasp", "appendix_tip", 320, (0, 0.97)),
                Act("bipolar", "coagulate", "mesoappendix", 160, (0.1, 0.55), smoke=True),
                Act("scissors", "cut", "mesoappendix", 150, (0.6, 0.97), stain=0.5),
            ),
        ),
        Phase(
            "appendix_transection",
            0.24,
            "appendix_base",
            (
                Act("grasper", "retract", "appendix_tip", 325, (0, 0.97)),
                Act("stapler", "transect", "appendix_base", 170, (0.15, 0.9)),
            ),
        ),
        Phase(
            "irrigation",
            0.20,
            "overview",
            (Act("irrigator", "irrigate", "mesoappendix", 150, (0.1, 0.9), stain=-0.6),),
        ),
    ),
)

CATARACT_SURGERY = Procedure(
    name="cataract_surgery",
    specialty="ophthalmology",
    scenery="eye",
    clouded=0.32,
    phases=(
        Phase("incision", 0.14, "overview", (Act("knife", "incise", "cornea", 0, (0.15, 0.9)),)),
        Phase(
            "capsulorhexis",
            0.18,
            "lens",
            (Act("forceps", "tear", "lens_capsule", 15, (0.05, 0.95)),),
        ),
        Phase(
            "phacoemulsification",
            0.34,
            "lens",
            (
                Act("phaco_probe", "emulsify", "lens", 8, (0.03, 0.97), stain=-0.34),
                Act("chopper", "split", "lens", 165, (0.12, 0.85)),
            ),
        ),
        Phase(
            "lens_implantation",
            0.20,
            "lens",
            (Act("lens_injector", "insert", "lens_capsule", 5, (0.1, 0.9)),),
        ),
        Phase(
            "hydration", 0.14, "overview", (Act("cannula", "irrigate", "cornea", 20, (0.1, 0.9)),)
        ),
    ),
)

COLONOSCOPY = Procedure(
    name="colonoscopy",
    specialty="gastroenterology",
    scenery="colon",
    travel=1.0,
    phases=(
        Phase("intubation", 0.02, "rectum"),
        Phase("insertion", 0.24, "polyp"),
        Phase(
            "injection",
            0.16,
            "polyp",
            (Act("injection_needle", "inject", "polyp", 55, (0.1, 0.9)),),
        ),
        Phase(
            "polypectomy",
            0.22,
            "polyp",
            (Act("snare", "resect", "polyp", 60, (0.05, 0.95), stain=0.5, smoke=True),),
        ),
        Phase("biopsy", 0.12, "polyp", (Act("biopsy_forceps", "grasp", "polyp", 50, (0.1, 0.9)),)),
        Phase("withdrawal", 0.24, "rectum"),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A set of videos of one procedure. What its videos show beside it is told by `shards.synthetic.takes`.

    Attributes:
        name: An invented name.
        procedure: The operation that its videos show.
        num_videos: Number of videos.
        num_held_out: Number of videos, the last ones, that are never packed.
        width: Width of a frame in pixels.
        height: Height of a frame in pixels.
        disc: Radius of the endoscope's disc, in short sides of the frame.
        shows: An operation; one action of it, cut out; or an exercise, done by a more or less steady hand.
        length: Mean length of its videos, in those of operations.
    """

    name: str
    procedure: Procedure
    num_videos: int
    num_held_out: int
    width: int
    height: int
    disc: float
    shows: Literal["operation", "action", "exercise"] = "operation"
    length: float = 1.0


DATASETS = (
    Dataset(
        name="larkspur",
        procedure=CHOLECYSTECTOMY,
        num_videos=5,
        num_held_out=1,
        width=320,
        height=240,
        disc=0.49,
    ),
    Dataset(
        name="foxglove",
        procedure=APPENDECTOMY,
        num_videos=2,
        num_held_out=1,
        width=352,
        height=208,
        disc=0.66,
    ),
    Dataset(
        name="speedwell",
        procedure=CATARACT_SURGERY,
        num_videos=3,
        num_held_out=1,
        width=288,
        height=240,
        disc=0.50,
    ),
    Dataset(
        name="meander",
        procedure=COLONOSCOPY,
        num_videos=3,
        num_held_out=1,
        width=256,
        height=256,
        disc=0.49,
    ),
)
"""Operations, to train on and to judge by."""
