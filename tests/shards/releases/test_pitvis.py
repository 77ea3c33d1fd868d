from pathlib import Path

import pytest

from surgstream.shards.errors import ReleaseError
from tests.helpers.releases import lay, seconds, small

HEADING = "int_video,int_time,int_step,int_instrument1,int_instrument2\n"

FILES = {
    "annotations_01.csv": HEADING
    + "1,0,-1,-1,-2\n"  # out of the patient
    + "1,1,1,0,-2\n"  # no instrument in sight
    + "1,2,1,16,-2\n"
    + "1,3,7,13,16\n"
    + "1,4,14,9,0\n"  # 0 instead of -2 stands in four lines of the release
    + "1,5,14,16,16\n",
    "map_steps.csv": "int_step,str_step\n-1,operation_ended\n",
}


def test_each_line_is_a_second(tmp_path: Path) -> None:
    release = small("pitvis")
    lay(tmp_path, FILES)
    assert seconds(release, tmp_path, "step") == {
        "video_01": [
            (0, "out_of_patient"),
            (1, "nasal_corridor_creation"),
            (2, "nasal_corridor_creation"),
            (3, "tumour_excision"),
            (4, "debris_clearance"),
            (5, "debris_clearance"),
        ]
    }


def test_none_in_sight_is_a_label_and_out_of_the_patient_is_none(tmp_path: Path) -> None:
    assert seconds(small("pitvis"), lay(tmp_path, FILES), "instruments") == {
        "video_01": [
            (1, ""),
            (2, "suction"),
            (3, "ring_curette;suction"),
            (4, "micro_doppler"),
            (5, "suction"),
        ]
    }


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("1,0,0,-1,-2", "int_step: expected one of -1, 1, 2"),
        ("1,0,15,-1,-2", "int_step: expected one of -1, 1, 2"),
        ("1,0,1,19,-2", "int_instrument1: expected one of -2, -1, 0, 1"),
        ("1,,1,1,-2", "int_time: expected a whole number, got ''"),
    ],
)
def test_numbers_without_a_name_are_refused(line: str, told: str, tmp_path: Path) -> None:
    lay(tmp_path, {"annotations_01.csv": HEADING + line + "\n"})
    with pytest.raises(ReleaseError) as caught:
        list(small("pitvis").read(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path / 'annotations_01.csv'}: line 2: {told}")
