"""Planted copies are found where they are; nothing is found among what is random, rare or everywhere."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.shards.leaks.candidates import Library, bands_of
from surgstream.shards.leaks.matching import Match, evidence_needed, find_matches, num_comparisons
from surgstream.shards.leaks.thumbnails import POSES, WORDS, Bits, posed


def random_prints(seed: int, count: int) -> Bits:
    return np.random.default_rng(seed).integers(1, 2**32, (count, WORDS), dtype=np.uint32)


def flipped(bits: Bits, seed: int, share: float) -> Bits:
    flips = np.random.default_rng(seed).random((len(bits), 32 * WORDS)) < share
    return bits ^ np.packbits(flips, axis=1).view(np.uint32)


def matches_in(*videos: Bits, as_among: int = 0) -> list[Match]:
    return list(find_matches([Library(list(videos))], bands_of(as_among), train=len(videos)))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    start=st.integers(0, 100),
    length=st.integers(25, 60),
    before=st.integers(0, 80),
    share=st.floats(0, 0.12),
    as_among=st.sampled_from([0, 1_000_000]),
)
def test_a_planted_copy_is_found(
    seed: int, start: int, length: int, before: int, share: float, as_among: int
) -> None:
    original = random_prints(seed, 200)
    copy = flipped(original[start : start + length], seed, share)
    host = np.concatenate([random_prints(seed + 1, before), copy, random_prints(seed + 2, 30)])
    videos = [random_prints(seed + 3, 50), host, random_prints(seed + 4, 70), original]
    (match,) = matches_in(*videos, as_among=as_among)
    assert (match.first, match.second) == (1, 3)
    assert match.first_start - match.second_start == before - start
    assert abs(match.first_start - before) <= 1 and abs(match.length - length) <= 2
    assert match.score == pytest.approx(1 - 2 * share, abs=0.06)


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 300))
@settings(max_examples=20, deadline=None)
def test_nothing_is_found_among_random_prints(seed: int, count: int) -> None:
    assert (
        matches_in(
            random_prints(seed, count), random_prints(seed + 1, 300), random_prints(seed + 2, 5)
        )
        == []
    )


def test_seconds_without_prints_neither_hide_a_copy_nor_make_one() -> None:
    original = random_prints(1, 60)
    copy = original.copy()
    copy[20:40] = 0
    (match,) = matches_in(original, copy)
    assert (match.first_start, match.length, match.score) == (0, 60, 1)
    assert matches_in(np.zeros((500, WORDS), np.uint32), np.zeros((400, WORDS), np.uint32)) == []


def test_two_stretches_of_the_same_videos_are_two_matches() -> None:
    original = random_prints(1, 200)
    cut = np.concatenate([original[100:140], random_prints(2, 30), original[20:60]])
    found = {
        (match.first_start, match.second_start, match.length) for match in matches_in(original, cut)
    }
    assert found == {(100, 0, 40), (20, 70, 40)}


@pytest.mark.parametrize("gap", [20, 60, 90])
def test_two_stretches_at_the_same_offset_are_two_matches(gap: int) -> None:
    original = random_prints(1, 100 + gap)
    other = np.concatenate([original[:50], random_prints(2, gap), original[50 + gap :]])
    found = sorted((match.first_start, match.length) for match in matches_in(original, other))
    assert found == [(0, 50), (50 + gap, 50)]


def test_a_scene_that_resembles_itself_a_moment_later_is_told_once() -> None:
    steps = np.random.default_rng(1).random((100, 32 * WORDS)) < 0.02
    slow = np.packbits(np.logical_xor.accumulate(steps, axis=0), axis=1).view(
        np.uint32
    ) ^ random_prints(1, 1)
    (match,) = matches_in(slow, slow)
    assert match.first_start == match.second_start == 0 and match.length == 100


def test_a_scene_that_hardly_changes_hides_no_copy() -> None:
    slow = np.repeat(random_prints(1, 4), 50, axis=0)
    (match,) = matches_in(slow, slow)
    assert match.first_start == match.second_start == 0 and match.length == 200


def test_a_video_is_not_compared_with_itself() -> None:
    once = random_prints(1, 50)
    assert matches_in(np.concatenate([once, once]), random_prints(2, 50)) == []


def test_a_short_run_is_chance() -> None:
    original = random_prints(1, 100)
    copy = np.concatenate([random_prints(2, 30), original[:5], random_prints(3, 30)])
    assert matches_in(original, copy) == []


def test_what_is_everywhere_hides_no_copy() -> None:
    everywhere = np.repeat(random_prints(9, 1), 3, axis=0)
    videos = [np.concatenate([everywhere, random_prints(seed, 40)]) for seed in range(100)]
    (match,) = matches_in(*videos, flipped(videos[7], 1, 0.1))
    assert (match.first, match.second) == (7, 100)


def test_more_to_compare_asks_for_more_evidence() -> None:
    assert evidence_needed(0) < evidence_needed(10**10) < evidence_needed(36_000_000**2) < 6


def test_bands_do_not_overlap_and_grow_with_the_library() -> None:
    widths = []
    for count in (0, 100_000, 36_000_000):
        numbers = [list(range(32))[band] for band in bands_of(count)]
        assert [*itertools.chain(*numbers)] == [*range(len(numbers) * len(numbers[0]))]
        widths.append(len(numbers[0]))
    assert widths == [2, 3, 4]


def test_the_list_given_to_a_library_is_emptied() -> None:
    videos = [random_prints(1, 3), random_prints(2, 0), random_prints(3, 4)]
    expected = np.concatenate(videos)
    library = Library(videos)
    assert (
        videos == []
        and np.array_equal(library.bits, expected)
        and library.starts.tolist() == [0, 3, 3, 7]
    )


@pytest.mark.parametrize("pose", POSES.values())
def test_a_copy_in_another_pose_is_found(pose: int) -> None:
    original = random_prints(1, 60)
    (match,) = matches_in(random_prints(2, 80), original, posed(flipped(original, 1, 0.1), pose))
    assert (match.first, match.second, match.pose, match.length) == (1, 2, pose, 60)


@pytest.mark.parametrize("phased", [0, 1])
def test_a_copy_that_only_another_phase_shows_is_found_whichever_video_has_it(phased: int) -> None:
    original, between = random_prints(1, 60), random_prints(2, 60)
    firsts = [original, between] if phased else [between, original]
    seconds = [np.zeros((0, WORDS), np.uint32)] * 2
    seconds[phased] = flipped(firsts[1 - phased][10:50], 1, 0.1)
    (match,) = find_matches([Library(firsts), Library(seconds)], bands_of(0), train=2)
    assert (match.first, match.second) == (0, 1)
    assert (match.first_phase, match.second_phase) == ((0, 1) if phased else (1, 0))
    assert match.first_start - match.second_start == (10 if phased else -10)


def test_what_is_held_out_is_not_compared_with_itself() -> None:
    train, held_out = random_prints(1, 60), random_prints(2, 60)
    library = Library([train, held_out, held_out.copy(), train.copy()])
    assert num_comparisons([library], 1) == 60 * 240 * len(POSES)
    (match,) = find_matches([library], bands_of(0), train=1)
    assert (match.first, match.second) == (0, 3)
