"""The videos of a task found by their pictures in a corpus that weights descend from."""

import multiprocessing
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from surgstream.configs.errors import ConfigError
from surgstream.shards.corpus.hidden import has_pseudonyms
from surgstream.shards.errors import ShardError
from surgstream.shards.format.manifest import Manifest, ManifestFile
from surgstream.shards.leaks.findings import Compared, Leak, some_of
from surgstream.shards.leaks.some_videos import SomeVideos
from surgstream.shards.storage.stores import S3Config, open_storage
from surgstream.shards.workers import cores
from surgstream.trainer.lineage.ancestry import Corpus
from surgstream.trainer.lineage.names import called
from surgstream.trainer.lineage.outcomes import (
    Outcome,
    SeenStretch,
    keep_outcome,
    kept_outcome,
    key_of,
)

_FEW_FRAMES = 5000
"""So many frames are looked at before other processes have started."""


class NotReadableError(Exception):
    """The pictures of a corpus cannot be compared; the message says why."""


@dataclass(frozen=True)
class Asked:
    """Videos of a task in the corpus that it is evaluated on.

    Attributes:
        videos: They alone.
        manifest: SHA-256 of the whole corpus's manifest, in hexadecimal.
        pseudonyms: Whether ids there are pseudonyms.
    """

    videos: SomeVideos
    manifest: str
    pseudonyms: bool


def open_asked(uri: str, dataset: str, ids: Collection[str], s3: S3Config | None = None) -> Asked:
    """Find videos of a task in the corpus that it is evaluated on.

    Args:
        uri: The address of the corpus.
        dataset: The task's dataset.
        ids: The ids of the videos.
        s3: How to reach it.

    Raises:
        ManifestError: It is no packed corpus.
        StorageError: It cannot be read.
    """
    storage = open_storage(uri, s3)
    file = ManifestFile.load(storage)
    wanted = {(dataset, id) for id in ids}
    videos = SomeVideos.of(uri, file.parse(), lambda *name: name in wanted)
    return Asked(videos, file.sha256, has_pseudonyms(storage, videos.manifest))


def seen_in_pictures(corpus: Corpus, asked: Asked, cache: Path | None) -> Outcome:
    """Compare the videos that are asked about with those that were trained on, unless that was done before.

    Args:
        corpus: What was trained on.
        asked: The videos that are asked about.
        cache: The folder of outcomes, and of fingerprints; None keeps none.

    Raises:
        NotReadableError: The corpus is not there any more, is another one now, or is damaged.
    """
    trained = _open_trained(corpus, asked)
    asked_names = asked.videos.names
    key = key_of((asked.manifest, asked_names), (corpus.manifest, trained.names))
    if outcome := kept_outcome(cache, key):
        return outcome

    # Login nodes, which ask for names alone, have no decoder.
    from surgstream.shards.leaks.between import shared_between

    try:
        workers = _workers(asked.videos, trained)
        compared = shared_between(asked.videos, trained, workers=workers, kept=cache)
    except ShardError as error:
        raise NotReadableError(str(error)) from None
    outcome = Outcome(key=key)
    if compared:
        found = tuple(_stretch(finding, corpus) for finding in compared.findings)
        outcome = Outcome(key=key, found=found, notes=tuple(_notes(compared, corpus)))
    keep_outcome(cache, outcome)
    return outcome


def _open_trained(corpus: Corpus, asked: Asked) -> SomeVideos:
    """The videos that were trained on, where they lay; in the corpus that is evaluated on if they are of it."""
    address = corpus.address
    if corpus.manifest == asked.manifest:
        address = asked.videos.uri
    if address is None:
        raise NotReadableError("where it lies is not told")

    try:
        file = ManifestFile.load(open_storage(address))
    except (ShardError, ConfigError, OSError) as error:
        raise NotReadableError(str(error)) from None
    if file.sha256 != corpus.manifest:
        raise NotReadableError("another corpus lies there now")
    return _only_trained(address, file.parse(), corpus)


def _only_trained(address: str, manifest: Manifest, corpus: Corpus) -> SomeVideos:
    holds = corpus.holds()
    if holds is None:
        return SomeVideos(address, manifest)
    return SomeVideos.of(address, manifest, holds)


def _workers(asked: SomeVideos, trained: SomeVideos) -> int:
    """Processes to look at videos with."""
    is_small = asked.num_frames + trained.num_frames <= _FEW_FRAMES
    if is_small or multiprocessing.current_process().daemon:
        return 1
    return cores()


def _stretch(finding: Leak, corpus: Corpus) -> SeenStretch:
    there = finding.first
    here = finding.second
    how = "" if finding.pose == "upright" else f", {finding.pose}"
    return SeenStretch(
        video=here.video,
        way=finding.way,
        seen=(
            f"seconds {here.start:,.0f} to {here.stop:,.0f} are in {there.dataset}/{there.video} of "
            f"{called(corpus)} at {there.start:,.0f} to {there.stop:,.0f}{how}"
        ),
    )


def _notes(compared: Compared, corpus: Corpus) -> Iterator[str]:
    """What could not be compared."""
    names = [each.video for each in compared.not_compared]
    if names:
        yield (
            f"{len(names)} videos are dark or of one colour, and were compared with {called(corpus)} by "
            f"equal frames alone: {some_of(names)}"
        )
    if compared.missed_between_seconds:
        yield (
            f"neither the task's videos nor those of {called(corpus)} have four frames a second: copies "
            "that start between seconds may be missed"
        )
