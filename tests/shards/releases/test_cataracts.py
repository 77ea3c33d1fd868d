"""CATARACTS: frames from 1 at an odd rate, of which every 30th counts as one a second; three folders."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.workflow.cataracts import FPS, STEPS
from tests.helpers.releases import lay, seconds, small

RATES = (7500 / 257, 90000 / 3083, 45000 / 1541, 18000 / 617)
"""Those of the videos."""


def table(steps: list[int]) -> str:
    rows = "".join(f"{frame},{step}\n" for frame, step in enumerate(steps, start=1))
    return f"Frame,Steps\n{rows}"


FOLDER = "ground_truth/CATARACTS_2020"
TRAIN = f"{FOLDER}/train_gt/train01.csv"
FILES = {
    TRAIN: table([0, 0]),
    f"{FOLDER}/dev_gt/test07.csv": table([3]),
    f"{FOLDER}/test_gt/test02.csv": table([18]),
}


def test_every_thirtieth_frame_has_a_row(tmp_path: Path) -> None:
    # The step changes at the 31st frame, which is the second that counts.
    found = seconds(
        small("cataracts"), lay(tmp_path, FILES | {TRAIN: table([0] * 30 + [10] * 31)}), "step"
    )

    assert found == {
        "train01": [
            (0.0, "idle"),
            (1.028, "irrigation_aspiration"),
            (2.055, "irrigation_aspiration"),
        ],
        "test07": [(0.0, "incision")],
        "test02": [(0.0, "wound_hydratation")],
    }


@given(num_frames=st.integers(1, 71_066), rate=st.sampled_from(RATES))
def test_the_time_is_nearly_that_of_the_frame_whatever_the_rate(
    num_frames: int, rate: float
) -> None:
    assert abs(num_frames / FPS - num_frames / rate) < 1.4


def test_frames_must_be_counted_from_one(tmp_path: Path) -> None:
    lay(tmp_path, FILES | {TRAIN: "Frame,Steps\n0,0\n1,0\n"})
    with pytest.raises(ReleaseError, match=r"train01\.csv: line 2: Frame: expected frame 1, as"):
        seconds(small("cataracts"), tmp_path, "step")


def test_a_step_beyond_the_nineteen_is_told(tmp_path: Path) -> None:
    assert len(set(STEPS)) == 19
    with pytest.raises(ReleaseError, match=r"train01\.csv: line 2: Steps: .* got '19'"):
        seconds(small("cataracts"), lay(tmp_path, FILES | {TRAIN: table([19])}), "step")
