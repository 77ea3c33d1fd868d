"""What a suite's tasks need: packed frames and labels, which of them are at hand, and what makes them the same."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from surgstream.configs.changes import given
from surgstream.configs.errors import ConfigError, SurgstreamError
from surgstream.shards.format.manifest import ManifestFile
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.evaluation.tasks.opening import find_judged_task, open_labels

_SHOWN = 3

_ABOUT = ("title", "parts", "metrics", "other_metrics", "published", "caveats", "aliases", "notes")
"""What a task says of its results, and what decides no prediction."""


@dataclass(frozen=True, kw_only=True)
class TaskData:
    """A task with its frames and its labels.

    Attributes:
        task: The task; None where it cannot be judged by.
        corpus: The address of the corpus that has its frames.
        identity: SHA-256 of the task, the corpus's manifest and the labels.
        num_rows: Labelled rows of `train`, `val` and `test`.
        missing: What is not at hand, in a sentence; empty where all is.
    """

    task: TaskConfig | None = None
    corpus: str = ""
    identity: str = ""
    num_rows: dict[str, int] = field(default_factory=dict)
    missing: str = ""


class Corpora:
    """Packed corpora, of which each has some of the datasets that tasks ask for."""

    def __init__(self, addresses: Sequence[str]) -> None:
        """Name them; they are read when they are needed.

        Args:
            addresses: Folders, or `s3://` addresses.
        """
        self._addresses = addresses
        self._sha256: dict[str, str] = {}

    @cached_property
    def _found(self) -> dict[str, dict[str, frozenset[str]]]:
        """The ids of the videos of each dataset of each corpus, by the corpus's address."""
        found = {}
        for address in self._addresses:
            videos: dict[str, set[str]] = {}
            manifest = ManifestFile.load(open_storage(address))
            self._sha256[address] = manifest.sha256
            for shard in manifest.shards():
                videos.setdefault(shard.dataset, set()).update(video.id for video in shard.videos)
            found[address] = {dataset: frozenset(ids) for dataset, ids in videos.items()}
        return found

    def of(self, task: TaskConfig) -> str:
        """The address of the first corpus that has the task's dataset.

        Raises:
            ConfigError: None has it.
            ManifestError: A corpus is missing or damaged.
            StorageError: A store fails.
        """
        for address, datasets in self._found.items():
            if task.dataset in datasets:
                return address
        raise ConfigError(
            f"no corpus has the dataset {task.dataset}; pack it, or name the corpus that has it by --corpus"
        )

    def check(self, task: TaskConfig, address: str) -> None:
        """Make sure that a corpus has all videos of a task, whose globs are resolved.

        Raises:
            ConfigError: Some are not in it.
        """
        _check_videos(task, address, self._found[address][task.dataset])

    def sha256(self, address: str) -> str:
        """SHA-256 of the manifest of one that `of` has found."""
        return self._sha256[address]


def open_task_data(word: str, corpora: Corpora, labels: str | None) -> TaskData:
    """Look for what a task needs, and read all of its labels.

    Args:
        word: The task; see `find_task`.
        corpora: The packed frames.
        labels: The folder of labels, or its address; None takes those that were packed.

    Raises:
        ConfigError: There is no such task.
        StorageError: A store fails.
    """
    try:
        task = find_judged_task(word)
        corpus = corpora.of(task)
        if not task.has_globs:
            corpora.check(task, corpus)
        task, source = open_labels(task, labels, open_storage(corpus))
        corpora.check(task, corpus)
        num_rows = {
            split: sum(len(source.rows(video).seconds) for video in task.videos(split))
            for split in ("train", "val", "test")
        }
    except SurgstreamError as error:
        return TaskData(missing=str(error))

    asked = {key: value for key, value in given(task) if key.partition(".")[0] not in _ABOUT}
    identity = json.dumps([asked, corpora.sha256(corpus), source.sha256], sort_keys=True)
    return TaskData(
        task=task,
        corpus=corpus,
        identity=hashlib.sha256(identity.encode()).hexdigest(),
        num_rows=num_rows,
    )


def _check_videos(task: TaskConfig, address: str, packed: frozenset[str]) -> None:
    wanted = {video for split in task.splits() for ids in split.videos().values() for video in ids}
    lacking = sorted(wanted - packed)
    if lacking:
        more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
        raise ConfigError(
            f"{address} lacks {len(lacking)} of the task's {len(wanted)} videos of {task.dataset}: "
            f"{', '.join(lacking[:_SHOWN])}{more}"
        )
