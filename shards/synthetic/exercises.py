"""The datasets of the synthetic corpus that are only judged by: clips of one action each, and exercises."""

from surgstream.shards.synthetic.procedures import Act, Dataset, Phase, Procedure

ACTIONS = Procedure(
    name="laparoscopy",
    specialty="general_surgery",
    scenery="gallbladder",
    phases=(
        Phase(
            "grasp",
            1.0,
            "gallbladder_fundus",
            (Act("grasper", "grasp", "gallbladder_fundus", 200, (0, 1)),),
        ),
        Phase(
            "dissect",
            1.0,
            "cystic_duct",
            (Act("hook", "dissect", "cystic_duct", 25, (0, 1), smoke=True),),
        ),
        Phase("clip", 1.0, "cystic_duct", (Act("clipper", "clip", "cystic_duct", 15, (0, 1)),)),
        Phase(
            "cut",
            1.0,
            "cystic_duct",
            (Act("scissors", "cut", "cystic_duct", 30, (0, 1), stain=0.5),),
        ),
        Phase(
            "coagulate",
            1.0,
            "liver",
            (Act("bipolar", "coagulate", "liver", 20, (0, 1), smoke=True),),
        ),
        Phase("irrigate", 1.0, "liver", (Act("irrigator", "irrigate", "liver", 10, (0, 1)),)),
    ),
)
"""Not one operation: each phase is an action that clips show alone."""

BENCH_EXERCISE = Procedure(
    name="bench_exercise",
    specialty="skill_training",
    scenery="appendix",
    phases=(
        Phase(
            "division",
            0.55,
            "mesoappendix",
            (
                Act("grasper", "retract", "appendix_tip", 320, (0.02, 0.98)),
                Act("scissors", "cut", "mesoappendix", 155, (0.1, 0.95)),
            ),
        ),
        Phase(
            "transection",
            0.45,
            "appendix_base",
            (
                Act("grasper", "retract", "appendix_tip", 325, (0.02, 0.98)),
                Act("stapler", "transect", "appendix_base", 170, (0.1, 0.95)),
            ),
        ),
    ),
)

EXERCISES = (
    Dataset(
        name="teasel",
        procedure=ACTIONS,
        num_videos=12,
        num_held_out=6,
        width=256,
        height=192,
        disc=0.66,
        shows="action",
        length=0.15,
    ),
    Dataset(
        name="yarrow",
        procedure=BENCH_EXERCISE,
        num_videos=6,
        num_held_out=3,
        width=288,
        height=216,
        disc=0.60,
        shows="exercise",
        length=0.4,
    ),
)
"""Whole groups are held out: operations of six actions each, surgeons of three exercises each."""
