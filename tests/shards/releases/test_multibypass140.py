import json
from pathlib import Path
from typing import Any

import pytest

from surgstream.shards.errors import ReleaseError
from tests.helpers.releases import Files, lay, seconds, small

BERN = "labels/bern/labels_by70/BBP01.mp4.json"
STRASBOURG = "labels/strasbourg/labels_by70/SBP01.mp4.json"


def interval(start: int, end: int, name: str, number: int) -> dict[str, Any]:
    return {"start": start, "end": end, "label_name": name, "label_id": number}


def labels(*phases: dict[str, Any]) -> str:
    return json.dumps({"phases": phases, "steps": [interval(900, 3000, "s0_null_step", 0)]})


FILES: Files = {
    BERN: labels(
        interval(900, 4000, "preparation", 0),
        interval(1500, 2500, "out_of_body", 12),
        interval(3000, 3500, "severe_index", 13),
        interval(4000, 5001, "disassembling", 10),
        interval(5001, 6001, "out_of_body", 12),
    ),
    STRASBOURG: labels(interval(0, 1, "omentum_division", 2)),
    "labels/bern/labels_by70_splits/labels/test/1fps_0.pickle": b"never opened",
}


def test_a_second_has_the_phase_that_covers_its_beginning(tmp_path: Path) -> None:
    release = small("multibypass140")
    lay(tmp_path, FILES)
    assert seconds(release, tmp_path, "phase") == {
        "BBP01": [
            (1, "preparation"),
            (2, "out_of_body"),  # over the phase
            (3, "preparation"),  # under an index of severity
            (4, "disassembling"),
            (5, "disassembling"),
            (6, "out_of_body"),  # behind all phases
        ],
        "SBP01": [(0, "omentum_division")],
    }
    assert seconds(release, tmp_path, "step") == {
        "BBP01": [(1, "s0_null_step"), (2, "s0_null_step")],
        "SBP01": [(1, "s0_null_step"), (2, "s0_null_step")],
    }


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "line 1: expected JSON: Expecting property name"),
        ("[]", "expected a JSON object, got a list"),
        ('{"steps": []}', "phases: expected list, got None"),
        (labels({"start": 0}), "phases[0]: end: expected int, got None"),
        (
            labels(interval(2, 1, "preparation", 0)),
            "phases[0]: expected milliseconds with start bef",
        ),
        (labels(interval(0, 10**12, "preparation", 0)), "phases[0]: expected milliseconds"),
        (labels({"start": True, "end": 1, "label_name": "x"}), "phases[0]: start: expected int"),
        ("[" * 100_000, "expected JSON of labels"),
        ("1" * 5000, "expected JSON of labels"),
    ],
)
def test_damage_is_told_with_its_place(content: str, told: str, tmp_path: Path) -> None:
    lay(tmp_path, {**FILES, BERN: content})
    with pytest.raises(ReleaseError) as caught:
        list(small("multibypass140").read(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path / BERN}: {told}")
