from pathlib import Path

import pytest

from surgstream.shards.errors import ReleaseError
from tests.helpers.releases import lay, seconds, small, whole

NAME = "OphNet2024_loca_challenge_phase.csv"
HEADING = "video_id,start,end,split,surgery_id,phase_id\r\n"

# As the release has them: a byte order mark in some of its files, hundredths of seconds, gaps and small overlaps.
FILES = {
    NAME: "\ufeff"
    + HEADING
    + "case_0002,0,1.5,train,5,3\r\n"
    + "case_0002,2.33,4.06,train,0,6\r\n"
    + "case_0002,3.9,5.2,train,0,51\r\n"
    + "case_0019,0,2,test,1,0\r\n"
}


def test_videos_have_the_phase_of_each_second_that_one_covers(tmp_path: Path) -> None:
    assert seconds(small("ophnet"), lay(tmp_path, FILES), "phase") == {
        "case_0002": [
            (0, "non_functional_segment"),
            (1, "non_functional_segment"),
            (3, "corneal_incision_creation"),
            (4, "others"),  # of two the later
            (5, "others"),
        ],
        "case_0019": [(0, "viscoelastic_injection"), (1, "viscoelastic_injection")],
    }


def test_clips_are_counted_from_zero_in_each_video(tmp_path: Path) -> None:
    assert whole(small("ophnet"), lay(tmp_path, FILES), "clip_phase") == {
        "case_0002_0": ("non_functional_segment", "case_0002"),
        "case_0002_1": ("corneal_incision_creation", "case_0002"),
        "case_0002_2": ("others", "case_0002"),
        "case_0019_0": ("viscoelastic_injection", "case_0019"),
    }


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("c,0,1,train,0,52", "phase_id: expected one of 0, 1"),
        ("c,2,1,train,0,0", "end: expected a number from 2.0 to 1,000,000, got '1'"),
        ("c,0,1e9,train,0,0", "end: expected a number from 0.0 to 1,000,000, got '1e9'"),
        ("c,-1,1,train,0,0", "start: expected a number from 0 to 1,000,000, got '-1'"),
    ],
)
def test_damage_is_told_with_its_line(line: str, told: str, tmp_path: Path) -> None:
    lay(tmp_path, {NAME: HEADING + line + "\r\n"})
    with pytest.raises(ReleaseError) as caught:
        list(small("ophnet").read(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path / NAME}: line 2: {told}")
