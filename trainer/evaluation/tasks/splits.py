"""Which videos are in which split, and what must not be in two of them."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import combinations

from surgstream.configs.id_ranges import expand
from surgstream.configs.suggestions import did_you_mean

Ids = tuple[str, ...]

_SHOWN = 3


def is_glob(entry: str) -> bool:
    """Whether an entry of a split stands for all ids that it matches. Brackets are ranges of numbers, and no globs."""
    return "*" in entry or "?" in entry


def matching(entries: Iterable[str], known: Collection[str]) -> Iterator[tuple[str, Ids]]:
    """Each entry, its ranges expanded, with the ids that it stands for.

    Args:
        entries: Ids, ranges of them such as `video[01-40]`, and globs.
        known: The ids that globs may match.

    Yields:
        An id with itself, whether it is known or not; a glob with the known ids that it matches, sorted.

    Raises:
        ValueError: See `expand`.
    """
    for entry in expand(entries):
        if is_glob(entry):
            yield entry, tuple(sorted(id for id in known if fnmatchcase(id, entry)))
        else:
            yield entry, (entry,)


def repeated(ids: Iterable[str]) -> list[str]:
    """The ids that stand there more than once, sorted."""
    seen: set[str] = set()
    twice: set[str] = set()
    for id in ids:
        (twice if id in seen else seen).add(id)
    return sorted(twice)


def overlaps(splits: Mapping[str, Ids]) -> Iterator[str]:
    """Yield what is wrong with the ids of splits: the same ones in two, or twice in one."""
    if splits["val"] and {*splits["val"]} == {*splits["test"]}:
        yield (
            "val: expected other videos than those of test, got the same, so that models are "
            "chosen by what they are judged by; leave val empty where nothing is chosen"
        )
        return

    for name, ids in splits.items():
        if twice := repeated(ids):
            yield f"{name}: expected each video once, got {_some(twice)} twice"
    for one, other in combinations(splits, 2):
        if both := {*splits[one]} & {*splits[other]}:
            yield f"{one}, {other}: expected no video in both, got {_some(sorted(both))}"


def shared_groups(splits: Mapping[str, Ids], group_of: Mapping[str, str]) -> Iterator[str]:
    """Yield which groups have videos in two splits.

    Args:
        splits: The ids of each split.
        group_of: What videos belong to, by id; a video of none is its own.
    """
    groups = {name: {group_of.get(id, id) for id in ids} for name, ids in splits.items()}
    for one, other in combinations(splits, 2):
        if both := groups[one] & groups[other]:
            yield f"{one}, {other}: expected no group in both, got {_some(sorted(both))}"


def unknown(ids: Iterable[str], known: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each id that is none of those known."""
    for id in ids:
        if id not in known:
            yield f"no video has the id {id!r}{did_you_mean(id, known)}"


def _some(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    more = f" and {rest} more" if rest > 0 else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more
