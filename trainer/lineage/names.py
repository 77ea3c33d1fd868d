"""The videos of a task found by name in what weights descend from."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from surgstream.trainer.evaluation.tasks.aliases import Alias
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.lineage.ancestry import Corpus
from surgstream.trainer.lineage.known import Family
from surgstream.trainer.lineage.verdict import Sighting

_SHOWN = 12
"""Digits of a manifest's hash in a sentence."""


class Name(NamedTuple):
    """A name of a video: its dataset, its id there, and whether it is the task's own or an alias."""

    dataset: str
    id: str
    way: Literal["name", "alias"]


def names_of(task: TaskConfig, video: str) -> Iterator[Name]:
    """All names of a video of a task, its own first."""
    yield Name(task.dataset, video, "name")
    for dataset, text in task.aliases.items():
        there = Alias.parse(text).from_here(video)
        if there is not None:
            yield Name(dataset, there, "alias")


def seen_by_name(task: TaskConfig, videos: Sequence[str], corpus: Corpus) -> Iterator[Sighting]:
    """Yield the videos of a task that a corpus has by name, each once."""
    holds = corpus.holds()
    if holds is None:
        return

    for video in videos:
        for name in names_of(task, video):
            if holds(name.dataset, name.id):
                seen = f"{name.dataset}/{name.id} of {called(corpus)}"
                yield Sighting(video=video, way=name.way, seen=seen)
                break


def seen_in_publication(
    task: TaskConfig, videos: Sequence[str], family: Family
) -> Iterator[Sighting]:
    """Yield the videos of a task that weights of others were trained on by what is published, each once."""
    for video in videos:
        for name in names_of(task, video):
            if family.holds(name.dataset, name.id):
                seen = (
                    f"{name.dataset}/{name.id} was trained on by {family.title} ({family.source})"
                )
                yield Sighting(video=video, way="published", seen=seen)
                break


def called(corpus: Corpus) -> str:
    """A corpus in words."""
    place = corpus.address or "a corpus"
    return f"{place} ({corpus.manifest[:_SHOWN]})"
