"""Ids of videos in short: `video[01-40]`, or `case[2,5-7]_left`, stands for the ids with these numbers."""

import itertools
import math
import re
from collections.abc import Iterable, Iterator

MAX_IDS = 10**6
"""So many ids a list of patterns may stand for."""

_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_NUMBERS = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?", re.ASCII)


def expand(patterns: Iterable[str]) -> tuple[str, ...]:
    """The ids that patterns stand for, in their order.

    Numbers are as long as the first of their range, with zeros before them: `[01-10]` is 01 to 10, `[1-10]` 1 to 10.
    Of several brackets the last one counts fastest.

    Args:
        patterns: Ids, or ids with numbers and ranges of numbers in brackets.

    Raises:
        ValueError: A bracket is malformed, a range goes backwards, or there are too many ids.
    """
    ids: list[str] = []
    for pattern in patterns:
        choices = list(_choices(pattern))
        if len(ids) + math.prod(map(len, choices)) > MAX_IDS:
            raise ValueError(f"expected at most {MAX_IDS} ids, got more up to {pattern!r}")
        ids += map("".join, itertools.product(*choices))
    return tuple(ids)


def _choices(pattern: str) -> Iterator[list[str]]:
    """What each part of a pattern may be: texts between brackets themselves, brackets their numbers."""
    for number, part in enumerate(_BRACKETS.split(pattern)):
        # Text and the insides of brackets in turn.
        if number % 2:
            yield [text for item in part.split(",") for text in _numbers(item.strip(), pattern)]
        elif "[" in part or "]" in part:
            raise ValueError(f"expected ids such as video[01-40], got {pattern!r}")
        else:
            yield [part]


def _numbers(item: str, pattern: str) -> Iterator[str]:
    found = _NUMBERS.fullmatch(item)
    if not found:
        raise ValueError(f"expected numbers in brackets, as in video[01-40], got {pattern!r}")

    first, last = found[1], found[2] or found[1]
    if not int(first) <= int(last) < int(first) + MAX_IDS:
        raise ValueError(f"expected ranges that go up to {MAX_IDS} ids, got {pattern!r}")
    return (f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1))
