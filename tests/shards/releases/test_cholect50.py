import json
from pathlib import Path
from typing import Any

import pytest

from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.actions.triplets import TRIPLETS
from tests.helpers.releases import lay, seconds, small


def instance(triplet: float, phase: float) -> list[float]:
    """The 15 numbers of an instance, of which the boxes are not published."""
    return [triplet, 0, 1, -1, -1, -1, -1, 0, 0, -1, -1, -1, -1, -1, phase]


def t50(annotations: dict[str, Any]) -> str:
    return json.dumps({"video": 1, "fps": 1, "num_frames": 4, "annotations": annotations})


def t45(*rows: tuple[int, set[int]]) -> str:
    lines = []
    for second, triplets in rows:
        lines.append(",".join([str(second), *(str(int(i in triplets)) for i in range(100))]))
    return "\n".join(lines) + "\n"


FILES = {
    "labels/VID01.json": t50(
        {
            "0": [instance(60, 1), instance(17, 1), instance(17, 1)],
            "10": [instance(94.0, 2.0)],
            "9": [instance(-1, 1)],
            "2": [],
        }
    ),
    "label_mapping.txt": "0,0,2,1,0,1\n",
}
T45_FILES = {
    "triplet/VID01.txt": t45((0, {17, 60}), (1, set()), (2, {99})),
    "instrument/VID01.txt": "0,1,0,0,0,0,0\n",
}


def test_frames_without_a_triplet_are_rows_without_a_class(tmp_path: Path) -> None:
    release = small("cholect50")
    lay(tmp_path, FILES)
    assert seconds(release, tmp_path, "triplet") == {
        "VID01": [
            (0, "grasper/retract/gallbladder;hook/dissect/gallbladder"),
            (2, ""),
            (9, ""),
            (10, "grasper/null_verb/null_target"),
        ]
    }
    assert seconds(release, tmp_path, "phase") == {
        "VID01": [
            (0, "carlot_triangle_dissection"),
            (9, "carlot_triangle_dissection"),
            (10, "clipping_and_cutting"),
        ]
    }


def test_the_older_tables_say_the_same(tmp_path: Path) -> None:
    assert seconds(small("cholect45"), lay(tmp_path, T45_FILES), "triplet") == {
        "VID01": [
            (0, "grasper/retract/gallbladder;hook/dissect/gallbladder"),
            (1, ""),
            (2, "irrigator/null_verb/null_target"),
        ]
    }


def test_the_triplets_are_those_of_the_release() -> None:
    """Places that papers and code name, the number of parts, and the order within each instrument."""
    assert len(TRIPLETS) == len(set(TRIPLETS)) == 100
    named = {
        0: "grasper/dissect/cystic_plate",
        7: "grasper/grasp/gallbladder",
        19: "grasper/retract/liver",
        22: "bipolar/coagulate/abdominal_wall_cavity",
        45: "bipolar/retract/omentum",
        58: "hook/dissect/cystic_duct",
        65: "scissors/coagulate/omentum",
        77: "clipper/clip/blood_vessel",
        82: "irrigator/aspirate/fluid",
        93: "irrigator/retract/omentum",
        99: "irrigator/null_verb/null_target",
    }
    assert {number: TRIPLETS[number] for number in named} == named

    parts = [tuple(triplet.split("/")) for triplet in TRIPLETS]
    assert [len(set(names)) for names in zip(*parts, strict=True)] == [6, 10, 15]

    instruments = list(dict.fromkeys(instrument for instrument, _, _ in parts))
    active = sorted(parts[:94], key=lambda part: (instruments.index(part[0]), part[1], part[2]))
    assert active == parts[:94]
    assert parts[94:] == [(name, "null_verb", "null_target") for name in instruments]


@pytest.mark.parametrize(
    ("annotations", "told"),
    [
        ({"0": [instance(100, 0)]}, "annotations: 0: expected -1 to 99 at place 0 of 15, got 100"),
        ({"0": [instance(-2, 0)]}, "annotations: 0: expected -1 to 99 at place 0 of 15, got -2"),
        ({"0": [instance(0.5, 0)]}, "annotations: 0: expected -1 to 99 at place 0 of 15, got 0.5"),
        ({"0": [instance(0, 7)]}, "annotations: 0: expected -1 to 6 at place 14 of 15, got 7"),
        ({"0": [[0, 1]]}, "annotations: 0: expected lists of 15 numbers, got [0, 1]"),
        ({"0": 5}, "annotations: 0: expected list, got 5"),
        ({"x": []}, "annotations: expected a frame's number, got 'x'"),
        ({"0": [instance(0, 0), instance(1, 1)]}, "annotations: 0: expected one phase, got prepar"),
    ],
)
def test_other_numbers_are_refused(annotations: dict[str, Any], told: str, tmp_path: Path) -> None:
    path = lay(tmp_path, {"labels/VID01.json": t50(annotations)}) / "labels/VID01.json"
    with pytest.raises(ReleaseError) as caught:
        list(small("cholect50").read(tmp_path))
    assert str(caught.value).startswith(f"{path}: {told}")


def test_a_table_of_other_columns_is_refused(tmp_path: Path) -> None:
    lay(tmp_path, {"triplet/VID01.txt": "0,1,0\n"})
    with pytest.raises(ReleaseError, match=r"VID01\.txt: line 1: expected 101 columns, got 3$"):
        list(small("cholect45").read(tmp_path))
