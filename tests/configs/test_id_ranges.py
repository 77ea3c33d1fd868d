"""Ids in short."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.configs.id_ranges import expand


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("video01", ["video01"]),
        ("video[08-11]", ["video08", "video09", "video10", "video11"]),
        ("[8-11]", ["8", "9", "10", "11"]),
        ("VID[92,103]", ["VID92", "VID103"]),
        ("case_[2, 05-06]_left", ["case_2_left", "case_05_left", "case_06_left"]),
        ("S[1-2]_capture[1-2]", ["S1_capture1", "S1_capture2", "S2_capture1", "S2_capture2"]),
    ],
)
def test_brackets_are_numbers(pattern: str, expected: list[str]) -> None:
    assert list(expand([pattern])) == expected


@pytest.mark.parametrize(
    "pattern",
    [
        "video[]",
        "video[01..40]",
        "video[a-b]",
        "video[01-",
        "video]01",
        "video[9-1]",
        "v[0-9999999]",
    ],
)
def test_malformed_brackets_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"expected .*got"):
        expand([pattern])


@given(st.integers(0, 500), st.integers(0, 50), st.integers(1, 4))
def test_a_range_is_what_counting_gives(first: int, more: int, width: int) -> None:
    numbers = [str(number).zfill(width) for number in range(first, first + more + 1)]
    ids = expand([f"video[{numbers[0]}-{numbers[-1]}]_x"])
    longest = len(numbers[0])
    assert ids == tuple(f"video{int(number):0{longest}}_x" for number in numbers)


@given(st.lists(st.sampled_from(["a", "b[1-3]", "c[01,09]"])))
def test_patterns_follow_each_other(patterns: list[str]) -> None:
    assert expand(patterns) == tuple(id for pattern in patterns for id in expand([pattern]))


def test_there_are_not_more_ids_than_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surgstream.configs.id_ranges.MAX_IDS", 10_000)
    assert len(expand(["[1-100]_[1-100]"])) == 10_000
    for patterns in (["[1-100]_[1-100]", "a"], ["[0-9999]" * 40]):
        with pytest.raises(ValueError, match="expected at most 10000 ids"):
            expand(patterns)
