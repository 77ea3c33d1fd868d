"""Ids of videos in short: `video[01-40]`, or `case[2,5-7]_left`, stands for the ids with these numbers."""

import itertools
import re
from collections.abc import Iterable, Iterator

_MAX_IDS = 10**6
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_NUMBERS = re.compile(r"(\d+)(?:-(\d+))?", re.ASCII)


def expand(patterns: Iterable[str]) -> tuple[str, ...]:
    """The ids that patterns stand for, in their order.

    Numbers are as long as the first of their range, with zeros before them: `[01-10]` is 01 to 10, `[1-10]` 1 to 10.
    Of several brackets the last one counts fastest.

    Args:
        patterns: Ids, or ids with numbers and ranges of numbers in brackets.

    Raises:
        ValueError: A bracket is malformed, or a range is too long or goes backwards.
    """
    return tuple(id for pattern in patterns for id in _expanded(pattern))


def _expanded(pattern: str) -> Iterator[str]:
    # Text and the insides of brackets in turn.
    parts = _BRACKETS.split(pattern)
    if any("[" in text or "]" in text for text in parts[::2]):
        raise ValueError(f"expected ids such as video[01-40], got {pattern!r}")

    choices = [
        list(_numbers(part, pattern)) if number % 2 else [part] for number, part in enumerate(parts)
    ]
    return map("".join, itertools.product(*choices))


def _numbers(inside: str, pattern: str) -> Iterator[str]:
    for item in inside.split(","):
        found = _NUMBERS.fullmatch(item.strip())
        if not found:
            raise ValueError(f"expected numbers in brackets, as in video[01-40], got {pattern!r}")

        first, last = found[1], found[2] or found[1]
        if not int(first) <= int(last) < int(first) + _MAX_IDS:
            raise ValueError(f"expected ranges that go up to {_MAX_IDS} ids, got {pattern!r}")
        for number in range(int(first), int(last) + 1):
            yield f"{number:0{len(first)}}"
