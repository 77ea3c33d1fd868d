"""What must not be in two splits."""

import re

import pytest

from surgstream.trainer.evaluation.tasks.splits import overlaps, shared_groups, unknown


def splits(train: str, val: str, test: str) -> dict[str, tuple[str, ...]]:
    return {"train": tuple(train), "val": tuple(val), "test": tuple(test)}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (splits("ab", "cd", "dc"), "val: expected other videos than those of test, got the same"),
        (splits("abc", "c", "d"), "train, val: expected no video in both, got 'c'"),
        (splits("abcdef", "", "bcdef"), "train, test: .* got 'b', 'c', 'd' and 2 more"),
        (splits("ab", "cd", "ce"), "val, test: expected no video in both, got 'c'"),
        (splits("aba", "c", "d"), "train: expected each video once, got 'a' twice"),
    ],
)
def test_an_overlap_is_told_once(given: dict[str, tuple[str, ...]], message: str) -> None:
    (told,) = overlaps(given)
    assert re.search(message, told)


def test_disjoint_splits_are_right() -> None:
    assert not list(overlaps(splits("ab", "", "c")))
    assert not list(overlaps(splits("ab", "d", "c")))


def test_a_group_in_two_splits_is_told() -> None:
    groups = {"a": "Ann", "c": "Ann", "b": "Bob"}
    assert list(shared_groups(splits("ab", "d", "c"), groups)) == [
        "train, test: expected no group in both, got 'Ann'"
    ]
    assert not list(shared_groups(splits("ac", "d", "b"), groups))


def test_an_id_that_nobody_has_is_told_with_the_nearest() -> None:
    assert list(unknown(["video01", "vido02"], ["video01", "video02"])) == [
        "no video has the id 'vido02'; did you mean 'video02'?"
    ]
