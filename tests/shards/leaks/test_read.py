"""Which frames fingerprints are taken of."""

import numpy as np
import pytest

from surgstream.shards.format.records import PackedVideo, Part
from surgstream.shards.leaks.read import frames_at, num_phases, step_seconds


def video(fps: float, *parts: tuple[int, int]) -> PackedVideo:
    numbered = tuple(Part(first_frame=first, num_frames=count) for first, count in parts)
    return PackedVideo(
        id="v", source="v.mp4", parts=numbered, first_row=0, fps=fps, width=64, height=48
    )


@pytest.mark.parametrize(
    ("fps", "parts", "step", "expected"),
    [
        (1.0, [(0, 4)], 1.0, [0, 1, 2, 3]),
        (25.0, [(0, 76)], 1.0, [0, 25, 50, 75]),
        (2.5, [(0, 8)], 1.0, [0, 2, 5, 7]),
        (0.5, [(0, 3)], 2.0, [0, 1, 2]),
        (1.0, [(0, 5)], 2.0, [0, 2, 4]),
        (0.3, [(0, 4)], 1 / 0.3, [0, 1, 2, 3]),
        (1.0, [(2, 2), (6, 1)], 1.0, [None, None, 0, 1, None, None, 2]),
        (5.0, [(0, 7), (10, 6)], 1.0, [0, 5, 7, 12]),
    ],
)
def test_a_frame_a_second_is_taken_by_time(
    fps: float, parts: list[tuple[int, int]], step: float, expected: list[int | None]
) -> None:
    numbers, known = frames_at(video(fps, *parts), step)
    assert [int(n) if k else None for n, k in zip(numbers, known, strict=True)] == expected


def test_the_slowest_video_sets_the_step() -> None:
    assert step_seconds([25.0, 1.0, 5.0]) == step_seconds([25.0]) == 1
    assert step_seconds([25.0, 0.5, 1.0]) == 2


def test_numbers_are_of_frames_that_exist() -> None:
    numbers, known = frames_at(video(7.3, (11, 100), (150, 333)), 1.0)
    assert numbers[known].min() >= 0 and numbers[known].max() < 433
    assert np.all(np.diff(numbers[known]) > 0)


@pytest.mark.parametrize(
    ("fps", "step", "expected"),
    [(1, 1, 1), (1.9, 1, 1), (2, 1, 2), (3.5, 1, 3), (25, 1, 4), (1, 2, 2)],
)
def test_there_are_as_many_phases_as_frames_that_differ_up_to_four(
    fps: float, step: float, expected: int
) -> None:
    assert num_phases(fps, step) == expected


def test_a_phase_begins_later() -> None:
    numbers, known = frames_at(video(4.0, (0, 12)), 1.0, 0.25)
    assert numbers.tolist() == [1, 5, 9] and known.all()
