"""The ancestry of weights that a run trains: what it began with, its teacher, and the corpus that it shows to them."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from surgstream.shards.corpus.hidden import has_pseudonyms
from surgstream.shards.format.first_sample import licence_in
from surgstream.shards.format.manifest import ManifestFile
from surgstream.shards.storage.addresses import is_address
from surgstream.shards.storage.stores import Storage
from surgstream.trainer.encoders.config import TIMM
from surgstream.trainer.lineage.ancestry import (
    NOTHING,
    Ancestry,
    Corpus,
    Foreign,
    corpus_of,
    merged,
)
from surgstream.trainer.lineage.config import WarmStartConfig
from surgstream.trainer.lineage.known import check_known
from surgstream.trainer.lineage.reading import ancestry_of
from surgstream.trainer.models.config import TeacherConfig
from surgstream.trainer.models.videos.config import VideoTeacherConfig

THE_TEACHER = "the teacher "
"""The beginning of what the weights of a teacher's file are called."""


def begun_with(
    warm_start: WarmStartConfig | None, teacher: TeacherConfig | VideoTeacherConfig | None
) -> Ancestry:
    """What a new run's weights descend from before its first step.

    Args:
        warm_start: The weights that it begins with; None begins with random ones.
        teacher: The teacher that they learn from; None has none.

    Raises:
        CheckpointError: A state says nonsense of what it descends from.
        ConfigError: Weights are said to be of a family that there is not.
        ModelError: An export does.
    """
    found = []
    if warm_start:
        check_known(warm_start.known_as)
        found.append(ancestry_of(warm_start.weights, warm_start.known_as))
    if teacher:
        check_known(teacher.known_as)
        found.append(_of_teacher(teacher))
    return merged(found)


def shown_corpus(
    storage: Storage, *, fps: float | None, videos: Mapping[str, Collection[str] | None]
) -> Corpus:
    """The corpus that a run shows to its weights; of each dataset the first sample tells the licence.

    Args:
        storage: Where it lies.
        fps: Frames a second that clips are cut at; None takes every packed frame.
        videos: The datasets that are drawn from, and of each the ids; None are all.

    Raises:
        ManifestError: It is no packed corpus.
        StorageError: It cannot be read.
    """
    file = ManifestFile.load(storage)
    ids: dict[str, set[str]] = {dataset: set() for dataset in videos}
    licences: dict[str, str | None] = {}
    for shard in file.shards():
        if shard.dataset in videos and shard.dataset not in licences:
            licences[shard.dataset] = licence_in(storage, shard.name)

        chosen = videos.get(shard.dataset, ())
        for video in shard.videos:
            if chosen is None or video.id in chosen:
                ids[shard.dataset].add(video.id)

    return corpus_of(
        file.sha256,
        ids,
        address=storage.uri if is_address(storage.uri) else str(Path(storage.uri).absolute()),
        fps=fps,
        pseudonyms=has_pseudonyms(storage, file.parse()),
        licences=licences,
    )


def _of_teacher(teacher: TeacherConfig | VideoTeacherConfig) -> Ancestry:
    """What a teacher descends from; a random one from nothing."""
    if teacher.weights is not None:
        found = ancestry_of(teacher.weights, teacher.known_as)
        return replace(found, foreign=tuple(map(_as_teacher, found.foreign)))

    if isinstance(teacher, VideoTeacherConfig) or not teacher.pretrained:
        return NOTHING
    return Ancestry(foreign=(Foreign(name=f"{TIMM}{teacher.model}", known_as=teacher.known_as),))


def _as_teacher(weights: Foreign) -> Foreign:
    return replace(weights, name=f"{THE_TEACHER}{weights.name}")
