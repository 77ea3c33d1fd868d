"""The benchmark of the guard counts a copy once, and whatever is not one as a false alarm."""

from benchmarks.leaks import ALTERATIONS, EXCERPT, OTHERS, judged, matching, table
from shards.leaks.guard import Finding, Stretch

HOSTS = {"a": "b", "b": "c", "c": "a"}


def finding(first: str, second: str) -> Finding:
    one, other = (Stretch(corpus="x", dataset="d", video=video, start=0, stop=30) for video in (first, second))
    return Finding(kind="held_out", first=one, second=other, score=0.9)


def test_copies_are_found_once_and_others_are_false_alarms() -> None:
    findings = [finding("a", "a"), finding("a", "a"), finding("b", "c"), finding("b", "a")]
    row = judged("made", next(iter(ALTERATIONS)), findings, 3, HOSTS)
    assert (row.num_copies, row.num_found, row.false_alarms) == (3, 1, 2)
    assert table([row]).splitlines()[-1] == "| made | HEVC at a low rate | 1 of 3 | 2 |"


def test_the_host_of_an_excerpt_is_in_it_as_well() -> None:
    row = judged("made", EXCERPT, [finding("a", "a"), finding("b", "a"), finding("c", "a")], 3, HOSTS)
    assert (row.num_found, row.false_alarms) == (1, 1)


def test_a_mirrored_video_is_another() -> None:
    row = judged("made", next(iter(OTHERS)), [finding("a", "a")], 3, HOSTS)
    assert (row.num_copies, row.num_found, row.false_alarms) == (0, 0, 1)


def test_planted_copies_are_found_among_hours_that_are_made_up() -> None:
    found = matching(2 * 3600)
    assert (found["copies"], found["found"], found["false_alarms"]) == (2, 2, 0)
