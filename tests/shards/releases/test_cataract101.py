"""Cataract-101: phases by their first frames, which hold until the next one or the video's end."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.workflow.cataract101 import RELEASES, seconds
from tests.helpers.releases import lay, small, whole
from tests.helpers.releases import seconds as seconds_of

VIDEOS = "VideoID;Frames;FPS;Surgeon;Experience\n269;200;25;3;2\n1050;60;25;1;1\n"
ANNOTATIONS = "VideoID;FrameNo;Phase\n1050;0;1\n269;26;1\n269;101;10\n269;100;2\n"
FILES = {"videos.csv": VIDEOS, "annotations.csv": ANNOTATIONS}


def test_a_phase_holds_until_the_next(tmp_path: Path) -> None:
    found = seconds_of(small("cataract101"), lay(tmp_path, FILES), "phase")

    # Before frame 26, and so at seconds 0 and 1, there is no label; frame 200 is not there.
    assert found == {
        "case_269": [
            (2, "incision"),
            (3, "incision"),
            (4, "viscous_agent_injection"),
            (5, "tonifying_and_antibiotics"),
            (6, "tonifying_and_antibiotics"),
            (7, "tonifying_and_antibiotics"),
        ],
        "case_1050": [(0, "incision"), (1, "incision"), (2, "incision")],
    }


def test_surgeons_are_groups(tmp_path: Path) -> None:
    found = whole(small("cataract101"), lay(tmp_path, FILES), "experience")
    assert found == {"case_269": ("high", "surgeon_3"), "case_1050": ("low", "surgeon_1")}


@given(
    beginnings=st.lists(
        st.tuples(st.integers(0, 300), st.sampled_from("abc")), min_size=1, max_size=6
    ),
    num_frames=st.integers(0, 400),
    fps=st.integers(1, 30),
)
def test_seconds_are_those_of_a_table_of_all_frames(
    beginnings: list[tuple[int, str]], num_frames: int, fps: int
) -> None:
    beginnings = sorted(beginnings, key=lambda beginning: beginning[0])

    frames: list[str | None] = [None] * num_frames
    for first, phase in beginnings:
        frames[first:] = [phase] * len(frames[first:])
    expected = [
        (frame // fps, phase)
        for frame, phase in enumerate(frames)
        if frame % fps == 0 and phase is not None
    ]

    assert seconds(beginnings, num_frames=num_frames, fps=fps) == tuple(expected)


@pytest.mark.parametrize(
    ("videos", "annotations", "message"),
    [
        (VIDEOS + "300;9;25;1;1\n", ANNOTATIONS, r"videos\.csv: line 4: VideoID: .* got '300'"),
        (VIDEOS, ANNOTATIONS + "7;0;1\n", r"annotations\.csv: expected videos that .* got 7$"),
        (VIDEOS, ANNOTATIONS + "269;-1;1\n", r"annotations\.csv: line 6: FrameNo: .* got '-1'"),
        (VIDEOS, ANNOTATIONS + "269;150;11\n", r"annotations\.csv: line 6: Phase: .* got '11'"),
        (VIDEOS.replace(";25;3", ";0;3"), ANNOTATIONS, r"videos\.csv: line 2: FPS: .* got '0'"),
        (VIDEOS.replace(";200", ";9" + 9 * "0"), ANNOTATIONS, r"line 2: Frames: expected a number"),
        (VIDEOS.replace(";", ","), ANNOTATIONS, r"videos\.csv: line 1: expected the columns"),
    ],
)
def test_what_does_not_fit_is_told(
    tmp_path: Path, videos: str, annotations: str, message: str
) -> None:
    lay(tmp_path, {"videos.csv": videos, "annotations.csv": annotations})
    with pytest.raises(ReleaseError, match=message):
        list(RELEASES[0].read(tmp_path))
