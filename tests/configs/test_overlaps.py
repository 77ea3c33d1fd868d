"""No corpus of pretraining packs what a task judges by, unless it says so."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

import pytest

from surgstream.configs.loading import load
from surgstream.configs.presets import presets
from surgstream.shards.corpus.file import CorpusConfig, DatasetConfig
from surgstream.trainer.evaluation.tasks.aliases import Alias
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.evaluation.tasks.loading import all_tasks, find_task
from surgstream.trainer.evaluation.tasks.packed import packed_by
from tests.helpers.layouts import LAYOUTS

TASKS = all_tasks()
CORPORA = {name: load(CorpusConfig, path) for name, path in presets("pack").items()}


def judged(task: TaskConfig, dataset: str) -> set[str]:
    """The videos to choose by and to test on, under the names that a dataset may have for them."""
    ids = task.judged_by() if task.dataset == dataset else set()
    if dataset in task.aliases:
        alias = Alias.parse(task.aliases[dataset])
        ids |= {there for id in task.judged_by() if (there := alias.from_here(id))}
    return ids


def is_packed(preset: str, dataset: DatasetConfig, id: str) -> bool:
    """Whether a preset packs a video of this name for training.

    Its globs may match more than there is, so that where its number is known the videos are those of the layout.
    """
    if dataset.expected.videos is not None:
        train, _ = LAYOUTS[preset][dataset.name]
        return id in {stem(name) for name in train}

    patterns = (dataset.videos,) if isinstance(dataset.videos, str) else dataset.videos
    found = any(fnmatchcase(id, stem(pattern)) for pattern in patterns)
    return found and not any(fnmatchcase(id, entry) for entry in dataset.hold_out)


def stem(path: str) -> str:
    return PurePosixPath(path).stem


def overlaps(preset: str) -> Iterator[tuple[str, str, set[str]]]:
    """Datasets and tasks that share videos, and which; none where videos are packed to evaluate."""
    if CORPORA[preset].pack.split != "train":
        return

    for dataset in CORPORA[preset].datasets:
        for name, task in TASKS.items():
            ids = {id for id in judged(task, dataset.name) if is_packed(preset, dataset, id)}
            if ids:
                yield dataset.name, name, ids


@pytest.mark.parametrize("preset", sorted(CORPORA))
def test_every_overlap_is_declared_and_nothing_else(preset: str) -> None:
    declared = [
        (dataset.name, task, set(ids))
        for dataset in CORPORA[preset].datasets
        for task, ids in sorted(dataset.overlaps().items())
    ]
    assert sorted(declared) == sorted(overlaps(preset))


def test_a_task_names_the_corpora_that_train_on_its_videos() -> None:
    found = packed_by(TASKS["cholect50_triplets"])
    assert {"surgrec", "surgvista", "surgvista_frames", "unisurg"} <= set(found)
    videos = ("VID06", "VID08", "VID10", "VID12", "VID14", "VID29", "VID32")
    assert set(found.values()) == {videos}

    of_all_folds = packed_by(TASKS["jigsaws_suturing"])
    assert packed_by(find_task("jigsaws_suturing@louo_B")) == of_all_folds
    assert list(of_all_folds) == ["unisurg"]
    assert packed_by(TASKS["cataracts_steps"]) == {}


@pytest.mark.parametrize("name", sorted(TASKS))
def test_what_corpora_train_on_has_the_ids_of_the_task(name: str) -> None:
    for ids in packed_by(TASKS[name]).values():
        assert {*ids} <= TASKS[name].judged_by()


def test_test_videos_of_cholec80_and_m2cai16_are_in_no_corpus() -> None:
    """Those of the tasks of phases; what is declared of them is of validation."""
    for name in ("cholec80_phases", "m2cai16_phases"):
        split = TASKS[name].split
        assert split
        videos = split.videos()
        for ids in packed_by(TASKS[name]).values():
            assert not {*ids} & {*videos["test"]}
