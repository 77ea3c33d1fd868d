"""What was found of a task's videos in what weights descend from, in a form that is stored with predictions."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build, to_tree

T = TypeVar("T")

LEAKS = "leaks"
"""The key of a verdict among what is stored with predictions, and in a checkpoint's state."""

Mark = Literal["clean", "contaminated", "unknown"]

Way = Literal["name", "alias", "published", "frames", "motion", "pictures"]
"""How a video was found: by its dataset and id, by its id in another dataset, in a publication, or by its pictures:
equal frames, how they move, or one by one."""

Evidence = Literal["names", "pictures", "publications"]


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """A video of a task that weights descend from.

    Attributes:
        video: Its id in the task.
        way: How it was found.
        seen: Where it was trained on, and which stretch where that is known, as words.
    """

    video: str
    way: Way
    seen: str


@dataclass(frozen=True, kw_only=True)
class LeakMark:
    """What is known of a model on some videos.

    Attributes:
        mark: `contaminated` where one of them was trained on, else `unknown` where that cannot be told, else `clean`.
        says: The mark in words, such as `contaminated 3 of 40` or `clean by names only`.
        videos: Those that were trained on.
        how: Where and how they were found, and why things cannot be told, a sentence each.
    """

    mark: Mark
    says: str
    videos: tuple[str, ...] = ()
    how: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was found of the videos of some splits of a task.

    Attributes:
        splits: The splits whose videos were looked for.
        found: Videos that were trained on; one may be found in several ways.
        unknown: Why other videos may have been trained on as well, a sentence each.
        notes: What else is to be known of the search, a sentence each.
        by: What the search went by; nothing where nothing was trained on.
        all_pictures: Whether the pictures of every corpus were compared.
    """

    splits: tuple[str, ...]
    found: tuple[Sighting, ...] = ()
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    by: tuple[Evidence, ...] = ()
    all_pictures: bool = True

    def on(self, split: str, videos: Collection[str]) -> LeakMark:
        """What it says of videos of a split."""
        verdict = self if split in self.splits else replace(self, unknown=(_not_asked(split),))
        found = [each for each in verdict.found if each.video in videos]
        contaminated = tuple(sorted({each.video for each in found}))

        sightings = [f"{each.video} by {each.way}: {each.seen}" for each in found]
        how = (*sightings, *verdict.unknown, *verdict.notes)
        if contaminated:
            says = f"contaminated {len(contaminated)} of {len(videos)}"
            return LeakMark(mark="contaminated", says=says, videos=contaminated, how=how)
        if verdict.unknown:
            return LeakMark(mark="unknown", says="unknown", how=how)
        return LeakMark(mark="clean", says=f"clean{verdict._basis()}", how=how)

    def _basis(self) -> str:
        """What being clean rests on, where that is less than all pictures."""
        if "publications" in self.by:
            return " by what is published"
        if "names" in self.by and not self.all_pictures:
            return " by names only"
        return ""


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """What several models have seen together, such as the seeds of one; of one alone its own."""
    first, *others = verdicts
    return Verdict(
        splits=tuple(
            split for split in first.splits if all(split in each.splits for each in others)
        ),
        found=_each_once(each.found for each in verdicts),
        unknown=_each_once(each.unknown for each in verdicts),
        notes=_each_once(each.notes for each in verdicts),
        by=_each_once(each.by for each in verdicts),
        all_pictures=all(each.all_pictures for each in verdicts),
    )


def to_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON has it."""
    tree: dict[str, Any] = to_tree(verdict)
    return tree


def from_json(tree: Any, where: str) -> Verdict:
    """Read what `to_json` gave; it is trusted in nothing.

    Raises:
        ConfigError: It is something else.
    """
    if not isinstance(tree, dict):
        raise ConfigError(
            f"{where}: expected what was found of a task's videos, got something else"
        )
    return build(Verdict, tree, where=where)


def told_by(about: Any) -> Verdict:
    """What the maker of predictions tells, in what is stored with them; all is unknown where that is nothing.

    Args:
        about: What is stored with predictions.
    """
    splits = ("train", "val", "test")
    if not isinstance(about, dict) or LEAKS not in about:
        return Verdict(
            splits=splits, unknown=("its predictions do not tell what it was trained on",)
        )
    try:
        return from_json(about[LEAKS], LEAKS)
    except ConfigError:
        why = "its predictions tell what it was trained on in a form that cannot be read"
        return Verdict(splits=splits, unknown=(why,))


def _not_asked(split: str) -> str:
    return f"the videos of the {split} split were not looked for in what it was trained on"


def _each_once(groups: Iterable[Iterable[T]]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(each for group in groups for each in group))
