"""Frames that are byte for byte the same: found at any length and rate, and not where chance or black makes them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.shards.format.index import ROW
from surgstream.shards.format.records import PackedVideo, Part
from surgstream.shards.leaks.frames import Equal, Keys, find_equal, keys_of


def video(num_frames: int, fps: float = 1.0, first: int = 0) -> PackedVideo:
    part = Part(first_frame=first, num_frames=num_frames)
    return PackedVideo(
        id="v", source="v.mp4", parts=(part,), first_row=0, fps=fps, width=100, height=80
    )


def keys(*numbers: int) -> Keys:
    return np.array(numbers, np.uint64) << np.uint64(40)


def found(*all_keys: Keys, train: int = 1, fps: tuple[float, ...] = ()) -> list[Equal]:
    rates = fps or (1.0,) * len(all_keys)
    videos = [video(len(some), rate) for some, rate in zip(all_keys, rates, strict=True)]
    return list(find_equal(all_keys, videos, train=train))


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(2, 20),
    before=st.integers(0, 9),
    start=st.integers(0, 9),
)
def test_a_run_of_equal_frames_is_found_where_it_is(
    seed: int, length: int, before: int, start: int
) -> None:
    random = np.random.default_rng(seed).integers(1, 2**64, (2, 40), dtype=np.uint64)
    run = random[0][start : start + length]
    host = np.concatenate([random[1][:before], run, random[1][before:]])
    (equal,) = found(random[0], host)
    assert equal == Equal(0, 1, float(start), float(before), float(length))


def test_clips_of_three_frames_are_found_each_with_its_copy() -> None:
    clips = [keys(*range(3 * number + 1, 3 * number + 4)) for number in range(33)]
    pairs = [(equal.first, equal.second) for equal in found(*clips, *clips, train=33)]
    assert pairs == [(number, number + 33) for number in range(33)]


def test_one_frame_in_common_is_chance_unless_it_is_all_there_is() -> None:
    assert found(keys(1, 2, 3), keys(7, 2, 9)) == []
    assert len(found(keys(1, 2, 3), keys(2))) == 1
    assert len(found(keys(5, 5, 5, 5), keys(5, 5))) == 1


def test_frames_that_are_equal_at_other_offsets_are_no_run() -> None:
    assert found(keys(1, 2, 3, 4), keys(4, 3, 2, 1)) == []


def test_frames_are_matched_by_time_at_other_rates() -> None:
    (equal,) = found(keys(1, 2, 3, 4), keys(1, 11, 2, 12, 3, 13, 4, 14), fps=(1.0, 2.0))
    assert (equal.first_start, equal.second_start, equal.seconds) == (0, 0, 4)


def test_a_frame_that_is_everywhere_hides_nothing_and_makes_nothing_up() -> None:
    others = [keys(99, 100 + number, 99, 200 + number) for number in range(200)]
    copy = [keys(1, 99, 2), keys(1, 99, 2)]
    assert [(equal.first, equal.second) for equal in found(*copy, *others, train=202)] == [(0, 1)]


def test_what_is_held_out_is_not_compared_with_itself() -> None:
    assert found(keys(1, 2, 3), keys(4, 5, 6), keys(4, 5, 6)) == []


def test_what_shows_nothing_has_no_key() -> None:
    rows = np.array([(0, 700, 5), (700, 5000, 6), (5700, 700, 7)], ROW)
    assert (keys_of(rows, video(3)) != 0).tolist() == [False, True, False]
    assert found(np.zeros(9, np.uint64), np.zeros(9, np.uint64)) == []
