from pathlib import Path

import pytest

from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.registry import find_release
from surgstream.shards.releases.tally import Tally, difference
from surgstream.shards.releases.workflow.cholec80 import PHASES, TOOLS
from tests.helpers.releases import lay, seconds, small

HEADING = "Frame\tPhase\n"
TOOL_HEADING = "Frame\t" + "\t".join(TOOLS) + "\n"


def phases(*stretches: tuple[str, int]) -> str:
    """A line a frame, of each phase as many."""
    frames = [phase for phase, num_frames in stretches for _ in range(num_frames)]
    lines = [f"{frame}\t{phase}\n" for frame, phase in enumerate(frames)]
    return HEADING + "".join(lines)


FILES = {
    "phase_annotations/video01-phase.txt": phases(("Preparation", 26), ("ClippingCutting", 25)),
    "phase_annotations/video02-phase.txt": phases(("Preparation", 25)).replace("\n", "\r\n"),
    "phase_annotations/video01-timestamp.txt": "no labels",
    "tool_annotations/video01-tool.txt": (
        TOOL_HEADING + "0\t1\t0\t1\t0\t0\t0\t0\n25\t0\t0\t0\t0\t0\t0\t0\n50\t0\t0\t0\t0\t0\t0\t1\n"
    ),
}


def test_every_25th_frame_is_a_second(tmp_path: Path) -> None:
    release = small("cholec80")
    lay(tmp_path, FILES)
    assert seconds(release, tmp_path, "phase") == {
        "video01": [(0, "preparation"), (1, "preparation"), (2, "clipping_cutting")],
        "video02": [(0, "preparation")],
    }
    assert seconds(release, tmp_path, "tools") == {
        "video01": [(0, "grasper;hook"), (1, ""), (2, "specimen_bag")]
    }


def test_the_phases_stand_in_the_order_of_the_release() -> None:
    assert [name.replace("_", "") for name in PHASES.values()] == [name.lower() for name in PHASES]
    assert [*PHASES][3:5] == ["GallbladderDissection", "GallbladderPackaging"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("phase_annotations/video01-phase.txt", HEADING + "0\tPreperation\n",
         "line 2: Phase: expected one of Preparation, "),
        ("phase_annotations/video01-phase.txt", "0\tPreparation\n",
         "line 1: expected the columns Frame, Phase, got '0, Preparation'"),
        ("phase_annotations/video01-phase.txt", HEADING + "0\n", "line 2: expected 2 columns"),
        ("phase_annotations/video01-phase.txt", HEADING + "0.5\tPreparation\n",
         "line 2: Frame: expected a whole number, got '0.5'"),
        ("tool_annotations/video01-tool.txt", TOOL_HEADING + "0\t1\t0\t2\t0\t0\t0\t0\n",
         "line 2: Hook: expected 0 or 1, got '2'"),
    ],
)  # fmt: skip
def test_damage_is_told_with_file_and_line(
    name: str, content: str, told: str, tmp_path: Path
) -> None:
    lay(tmp_path, {**FILES, name: content})
    with pytest.raises(ReleaseError) as caught:
        list(small("cholec80").read(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path / name}: {told}")


def test_the_published_counts_are_asked_of_the_right_videos() -> None:
    """As many rows as SurgVISTA has counted in train, 86,344, and in test without those of M2CAI16, 88,494."""
    release = find_release("cholec80")
    tally = Tally(release.columns[0])
    for number in range(1, 81):
        tally.add(f"video{number:02d}", [(0, "preparation")])

    found = [difference(count, {"phase": tally}) for count in release.counts[:3]]
    assert [text.partition(" (")[0] for text in found] == [
        "phase, train: expected 86,344 rows, got 40",
        "phase, test: expected 98,234 rows, got 40",
        "phase, test without the videos of M2CAI16: expected 88,494 rows, got 35",
    ]
