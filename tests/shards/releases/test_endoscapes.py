from pathlib import Path

import pytest

from surgstream.shards.errors import ReleaseError
from tests.helpers.releases import lay, seconds, small

NAME = "all_metadata.csv"
HEADING = (
    "vid,frame,avg_cvs,C1,C2,C3,is_ds_keyframe,cvs_annotator_1,cvs_annotator_2,cvs_annotator_3,"
    "mask_path,label_path\n"
)
RATED = '"[1, 0, 0]","[1, 0, 1]","[0, 0, 1]",,\n'
UNRATED = ",,,,\n"

FILES = {
    NAME: HEADING
    + '1,150,"[0.67, 0.0, 0.67]",0.6666666666666666,0.0,0.6666666666666666,True,' + RATED
    + '1,125,"[0.0, 0.33, 0.0]",0.0,0.3333333333333333,0.0,False,' + UNRATED
    + '1,25,"[0.0, 0.33, 0.0]",0.0,0.3333333333333333,0.0,True,' + RATED
    + '1,50,,,,,False,' + UNRATED
    + '201,0,"[1, 1, 1]",1,1,0.5,False,' + UNRATED,
    "train_vids.txt": "1.000000e+00\n",
}  # fmt: skip


def test_most_raters_decide_on_key_frames(tmp_path: Path) -> None:
    assert seconds(small("endoscapes"), lay(tmp_path, FILES), "cvs") == {
        "1": [(0, ""), (5, "two_structures;cystic_plate")]
    }


def test_the_sum_is_of_every_frame_that_has_ratings(tmp_path: Path) -> None:
    assert seconds(small("endoscapes"), lay(tmp_path, FILES), "cvs_sum") == {
        "1": [(0, "0"), (4, "0"), (5, "2")],
        "201": [(0, "3")],
    }


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("1,25,x,2,0,0,True," + RATED, "C1: expected a number from 0 to 1, got '2'"),
        ("1,25,x,1,,0,True," + RATED, "C2: expected a number from 0 to 1, got ''"),
        ("1,25,x,1,0,0,maybe," + RATED, "is_ds_keyframe: expected one of True, False, got 'maybe'"),
        ("v1,25,x,1,0,0,True," + RATED, "vid: expected a whole number, got 'v1'"),
    ],
)
def test_damage_is_told_with_its_line(line: str, told: str, tmp_path: Path) -> None:
    lay(tmp_path, {NAME: HEADING + line})
    with pytest.raises(ReleaseError) as caught:
        list(small("endoscapes").read(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path / NAME}: line 2: {told}")
