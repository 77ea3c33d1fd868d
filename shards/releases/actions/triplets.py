"""The hundred triplets of CholecT50, in the order of its numbers."""

from surgstream.shards.releases.release import PART_SEPARATOR

_TARGETS = {
    ("grasper", "dissect"): "cystic_plate gallbladder omentum",
    ("grasper", "grasp"): (
        "cystic_artery cystic_duct cystic_pedicle cystic_plate gallbladder gut liver omentum "
        "peritoneum specimen_bag"
    ),
    ("grasper", "pack"): "gallbladder",
    ("grasper", "retract"): (
        "cystic_duct cystic_pedicle cystic_plate gallbladder gut liver omentum peritoneum"
    ),
    ("bipolar", "coagulate"): (
        "abdominal_wall_cavity blood_vessel cystic_artery cystic_duct cystic_pedicle cystic_plate "
        "gallbladder liver omentum peritoneum"
    ),
    ("bipolar", "dissect"): ("adhesion cystic_artery cystic_duct cystic_plate gallbladder omentum"),
    ("bipolar", "grasp"): "cystic_plate liver specimen_bag",
    ("bipolar", "retract"): "cystic_duct cystic_pedicle gallbladder liver omentum",
    ("hook", "coagulate"): (
        "blood_vessel cystic_artery cystic_duct cystic_pedicle cystic_plate gallbladder liver "
        "omentum"
    ),
    ("hook", "cut"): "blood_vessel peritoneum",
    ("hook", "dissect"): (
        "blood_vessel cystic_artery cystic_duct cystic_plate gallbladder omentum peritoneum"
    ),
    ("hook", "retract"): "gallbladder liver",
    ("scissors", "coagulate"): "omentum",
    ("scissors", "cut"): (
        "adhesion blood_vessel cystic_artery cystic_duct cystic_plate liver omentum peritoneum"
    ),
    ("scissors", "dissect"): "cystic_plate gallbladder omentum",
    ("clipper", "clip"): "blood_vessel cystic_artery cystic_duct cystic_pedicle cystic_plate",
    ("irrigator", "aspirate"): "fluid",
    ("irrigator", "dissect"): "cystic_duct cystic_pedicle cystic_plate gallbladder omentum",
    ("irrigator", "irrigate"): "abdominal_wall_cavity cystic_pedicle liver",
    ("irrigator", "retract"): "gallbladder liver omentum",
    # An instrument that does nothing.
    ("grasper", "null_verb"): "null_target",
    ("bipolar", "null_verb"): "null_target",
    ("hook", "null_verb"): "null_target",
    ("scissors", "null_verb"): "null_target",
    ("clipper", "null_verb"): "null_target",
    ("irrigator", "null_verb"): "null_target",
}
"""What each instrument does something to."""

TRIPLETS = tuple(
    PART_SEPARATOR.join((*action, target))
    for action, targets in _TARGETS.items()
    for target in targets.split()
)
"""The triplets 0 to 99; from 94 those of doing nothing."""
