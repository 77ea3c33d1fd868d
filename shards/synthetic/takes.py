"""Takes: what one video shows of its dataset's procedure, and what is true of it as a whole."""

from dataclasses import dataclass, field, replace

from surgstream.shards.keyed_random import UInt64
from surgstream.shards.synthetic.procedures import Dataset, Procedure
from surgstream.shards.synthetic.texture import between, key

SURGEON_VIDEOS = 3
"""Exercises of a surgeon, one after the other."""

BEST_SCORE = 10.0
STRAY = 0.22
"""How far tips stray from where they work with a score of 0, in disc radii; with the best one they do not."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Take:
    """What one video shows.

    Attributes:
        procedure: What is done.
        scene: Key of the tissue, where several videos show the same; None where it is the video's own.
        stray: How far the tips of instruments stray from where they work, in disc radii.
        facts: What `labels/videos.csv` says of the video, by column.
    """

    procedure: Procedure
    scene: UInt64 | None = None
    stray: float = 0.0
    facts: dict[str, str] = field(default_factory=dict)


def take_of(dataset: Dataset, number: int, seed: int) -> Take:
    """Say what a video shows.

    Args:
        dataset: Its dataset.
        number: Its number there, from 0.
        seed: Seed of the corpus.

    Returns:
        The take.
    """
    if dataset.shows == "action":
        return _action(dataset, number, seed)
    if dataset.shows == "exercise":
        return _exercise(dataset, number, seed)
    return Take(procedure=dataset.procedure)


def _action(dataset: Dataset, number: int, seed: int) -> Take:
    """One phase of the procedure: those that follow each other are clips of one operation, so of one scene."""
    phases = dataset.procedure.phases
    operation, place = divmod(number, len(phases))
    group = f"operation_{operation + 1:02d}"

    return Take(
        procedure=replace(dataset.procedure, phases=(phases[place],)),
        scene=key(seed, dataset.name, group),
        facts={"action": phases[place].name, "group": group},
    )


def _exercise(dataset: Dataset, number: int, seed: int) -> Take:
    """The whole procedure by a surgeon whose hand is much the same in each exercise."""
    group = f"surgeon_{number // SURGEON_VIDEOS + 1:02d}"
    hand = between(key(seed, dataset.name, group), 1, 9)
    day = between(key(seed, dataset.name, group, number), -1, 1)
    score = round(hand + day, 1)

    return Take(
        procedure=dataset.procedure,
        stray=STRAY * (1 - score / BEST_SCORE),
        facts={"score": f"{score:.1f}", "group": group},
    )
