"""Whether weights have seen what a task judges them by: by name, by what is published, and by pictures.

It reads states and manifests, and pictures where it must, but no weights: it runs without torch.
"""

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from surgstream.shards.errors import ShardError
from surgstream.shards.leaks.findings import some_of
from surgstream.shards.storage.stores import S3Config
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.lineage.ancestry import Ancestry, Corpus, Foreign
from surgstream.trainer.lineage.config import LeaksConfig
from surgstream.trainer.lineage.known import check_known, family_of
from surgstream.trainer.lineage.names import called, seen_by_name, seen_in_publication
from surgstream.trainer.lineage.pictures import (
    Asked,
    NotReadableError,
    open_asked,
    seen_in_pictures,
)
from surgstream.trainer.lineage.reading import ancestry_of
from surgstream.trainer.lineage.verdict import Evidence, Sighting, Verdict

log = logging.getLogger(__name__)

JUDGED = ("val", "test")
"""The splits that must not have been trained on."""

_CACHE = "leaks"
_SHOWN = 5


def judge_weights(
    weights: str,
    task: TaskConfig,
    *,
    corpus: str | None,
    known_as: str | None = None,
    settings: LeaksConfig | None = None,
    cache: Path | None = None,
    splits: Sequence[str] = JUDGED,
    s3: S3Config | None = None,
) -> Verdict:
    """Judge weights by the word that names them, without reading them; see `judge`.

    Args:
        weights: As `ancestry_of` takes them.
        task: The task, with a split.
        corpus: The packed corpus that it is evaluated on; None compares no pictures.
        known_as: The family that the weights are said to be of.
        settings: Whether pictures are compared.
        cache: The folder of outcomes, where `settings` names none.
        splits: Splits of the task.
        s3: How to reach `corpus`.

    Raises:
        CheckpointError: A state says nonsense of what it descends from.
        ConfigError: There is no such family.
        ModelError: An export does.
    """
    check_known(known_as)
    ancestry = ancestry_of(weights, known_as)
    return judge(
        ancestry, task, corpus=corpus, settings=settings, cache=cache, splits=splits, s3=s3
    )


def judge(
    ancestry: Ancestry,
    task: TaskConfig,
    *,
    corpus: str | None,
    settings: LeaksConfig | None = None,
    cache: Path | None = None,
    splits: Sequence[str] = JUDGED,
    s3: S3Config | None = None,
) -> Verdict:
    """Look for the videos of a task in all that weights descend from.

    Args:
        ancestry: What they descend from.
        task: The task, with a split.
        corpus: The packed corpus that it is evaluated on; None compares no pictures.
        settings: Whether pictures are compared.
        cache: The folder of outcomes, where `settings` names none; None keeps none.
        splits: Splits of the task.
        s3: How to reach `corpus`.

    Raises:
        ConfigError: Weights are said to be of a family that there is not.
    """
    settings = settings or LeaksConfig()
    cache = Path(settings.cache) if settings.cache else cache
    videos = [id for split in splits for id in task.videos(split)]
    search = _Search(task, videos)
    for foreign in ancestry.foreign:
        search.publications(foreign)

    if ancestry.corpora and corpus:
        search.open(corpus, s3)
    for each in ancestry.corpora:
        search.corpus(each, cache, with_pictures=settings.compare == "pictures")
    return search.verdict(tuple(splits))


def refuse_contaminated(
    verdict: Verdict,
    task: TaskConfig,
    settings: LeaksConfig,
    splits: Collection[str] = JUDGED,
) -> None:
    """Refuse weights that have seen what they would be judged by, unless that is allowed.

    Args:
        verdict: What was found.
        task: The task.
        settings: What is allowed.
        splits: The splits that are asked.

    Raises:
        EvaluationError: They have.
    """
    found = _contaminated(verdict, task)
    told = {split: sentence for split, sentence in found.items() if split in splits}
    allowed = {"refuse": (), "allow_val": ("val",), "allow": JUDGED}[settings.found]
    if not told.keys() - {*allowed}:
        return

    word = "allow" if "test" in told else "allow_val"
    raise EvaluationError(
        f"{task.name}: expected weights that were trained on no video that they are judged by, got "
        f"{'; '.join(told.values())}; take other weights, or set leaks={word}, which marks the results "
        "and scores the other videos beside all of them"
    )


def log_verdict(verdict: Verdict, task: TaskConfig) -> None:
    """Tell what was found, and what cannot be told."""
    for split in verdict.splits:
        videos = task.videos(split)
        if videos:
            log.info("leaks, %s split: %s", split, verdict.on(split, videos).says)
    for sentence in (*verdict.unknown, *verdict.notes):
        log.info("leaks: %s", sentence)


def outcomes_folder(run_dir: str) -> Path:
    """Where a run keeps the outcomes of comparisons, unless its recipe says otherwise."""
    return Path(run_dir) / _CACHE


class _Search:
    """What is found of some videos of a task, one ancestor after the other."""

    def __init__(self, task: TaskConfig, videos: Sequence[str]) -> None:
        self._task = task
        self._videos = videos
        self._asked: Asked | None = None
        self._found: list[Sighting] = []
        self._unknown: list[str] = []
        self._notes: list[str] = []
        self._by: dict[Evidence, None] = {}
        self._all_pictures = True

    def publications(self, foreign: Foreign) -> None:
        """Look up weights that do not tell what they descend from."""
        family = family_of(foreign)
        if family is None:
            reason = foreign.why or "they do not tell what they were trained on"
            self._unknown.append(f"{foreign.name}: {reason}, and no family of weights is given")
            return

        self._by["publications"] = None
        self._found += seen_in_publication(self._task, self._videos, family)
        if family.unpublished:
            self._unknown.append(f"{family.title}: {family.unpublished}")
        self._notes.append(f"{family.title}, by {family.source}")
        self._notes += [f"{family.title}: {note}" for note in family.notes]

    def open(self, corpus: str, s3: S3Config | None) -> None:
        """Find the videos in the corpus that the task is evaluated on, if it can be read."""
        try:
            self._asked = open_asked(corpus, self._task.dataset, self._videos, s3)
        except ShardError as error:
            self._notes.append(f"the pictures of the task's videos cannot be read: {error}")
            return

        there = {id for _, id in self._asked.videos.names}
        missing = [id for id in self._videos if id not in there]
        if missing:
            self._all_pictures = False
            self._notes.append(
                f"{corpus} lacks {len(missing)} of the task's videos, whose pictures were not compared: "
                f"{some_of(missing)}"
            )

    def corpus(self, corpus: Corpus, cache: Path | None, *, with_pictures: bool) -> None:
        """Look for the videos in a corpus that was trained on."""
        self._by["names"] = None
        self._found += seen_by_name(self._task, self._videos, corpus)
        problem = "pictures were not compared"
        if with_pictures and self._asked:
            problem = self._pictures(corpus, self._asked, cache)
        if not problem:
            return

        self._all_pictures = False
        name = called(corpus)
        if corpus.names == "absent":
            self._unknown.append(f"{name}: its videos are not named, and {problem}")
        elif corpus.pseudonyms or (self._asked and self._asked.pseudonyms):
            self._unknown.append(f"{name}: videos have pseudonyms, and {problem}")
        else:
            self._notes.append(f"{name}: by names only, as {problem}")

    def _pictures(self, corpus: Corpus, asked: Asked, cache: Path | None) -> str:
        """Compare pictures with those of a corpus; why that cannot be done, or nothing."""
        try:
            outcome = seen_in_pictures(corpus, asked, cache)
        except NotReadableError as error:
            return f"its pictures cannot be compared: {error}"

        self._by["pictures"] = None
        self._found += [
            Sighting(video=each.video, way=each.way, seen=each.seen) for each in outcome.found
        ]
        self._notes += outcome.notes
        return ""

    def verdict(self, splits: tuple[str, ...]) -> Verdict:
        """All that was found."""
        return Verdict(
            splits=splits,
            found=tuple(dict.fromkeys(self._found)),
            unknown=tuple(dict.fromkeys(self._unknown)),
            notes=tuple(dict.fromkeys(self._notes)),
            by=tuple(self._by),
            all_pictures=self._all_pictures,
        )


def _contaminated(verdict: Verdict, task: TaskConfig) -> dict[str, str]:
    """What was found of each split, in words, with how the first of its videos was found."""
    told = {}
    for split in verdict.splits:
        mark = verdict.on(split, task.videos(split))
        if not mark.videos:
            continue
        count = f"{len(mark.videos)} of {len(task.videos(split))} {split} videos"
        rest = len(mark.videos) - _SHOWN
        more = f" and {rest} more" if rest > 0 else ""
        names = ", ".join(mark.videos[:_SHOWN])
        told[split] = f"{count}: {names}{more} ({mark.how[0]})"
    return told
