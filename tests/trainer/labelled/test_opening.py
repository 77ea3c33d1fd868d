"""A task by its word over a packed corpus, with labels beside it or in it."""

from pathlib import Path

import numpy as np
import pytest

from surgstream.configs.errors import ConfigError
from surgstream.launch.__main__ import main
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.labelled.config import TaskClipsConfig
from surgstream.trainer.labelled.opening import open_task
from tests.helpers.packing import write_corpus
from tests.helpers.videos import make_video
from tests.trainer.labelled.made_up import names_of

TASK = """\
name: phases
version: 1
title: Phases
dataset: one
kind: class
labels: {files: "labels/{video}.csv", column: phase}
classes: [rest, cut]
split: {train: [a], test: [b], source: ours}
clip: {num_frames: 4, stride: 1}
metrics: [image_accuracy]
main: image_accuracy
"""
TEXTS = {"a": "0,rest\n1,rest\n2,cut\n3,\n", "b": "0,cut\n1,cut\n2,rest\n3,cut\n5,cut\n"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of four seconds at five frames a second, and a task."""
    folder = tmp_path_factory.mktemp("task")
    (folder / "labels").mkdir()
    for video, text in TEXTS.items():
        make_video(folder / "videos" / f"{video}.mp4", 100)
        (folder / "labels" / f"{video}.csv").write_text(f"second,phase\n{text}")
    dataset = {"name": "one", "videos": "videos/*", "labels": {"phase": "labels/{video}.csv"}}
    corpus = write_corpus(folder, dataset, fps=5, segment_frames=3, shard_bytes=1000, workers=1)
    assert main(["pack", corpus, str(folder / "packed")]) == 0
    (folder / "task.yaml").write_text(TASK)
    return folder


def table_of(folder: Path) -> FrameTable:
    return FrameTable.open(open_storage(str(folder / "packed")))


@pytest.mark.parametrize("beside", [True, False])
def test_labels_are_those_beside_the_corpus_or_those_in_it(folder: Path, beside: bool) -> None:
    labels = str(folder) if beside else None
    settings = TaskClipsConfig()
    task = open_task(str(folder / "task.yaml"), labels, settings, table_of(folder), num_frames=4)
    train, test = task.split("train"), task.split("test")
    # At five frames a second; the last row of b is beyond its end.
    assert [(name.video, name.anchor_frame) for name in names_of(train.table)] == [
        ("a", 0), ("a", 5), ("a", 10),
    ]  # fmt: skip
    assert train.truth(names_of(train.table)).tolist() == [0, 0, 1]
    assert [name.anchor_frame for name in names_of(test.table)] == [0, 5, 10, 15]
    assert test.truth(names_of(test.table)).tolist() == [1, 1, 0, 1]
    np.testing.assert_array_equal(test.rows("b").true.seconds, [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("cholec80_phase", "cholec80_phases"),
        ("esd57_phases", "expected a task with labels, got one of published values alone"),
        ("jigsaws_suturing", "expected one of its folds, got none; write jigsaws_suturing@FOLD"),
        ("aixsuture", "expected a task with a split, its ids are not known"),
        ("cholec80_phases", "expected the dataset 'cholec80"),
    ],
)
def test_a_task_that_cannot_be_judged_here_is_refused(
    folder: Path, word: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        open_task(word, str(folder), TaskClipsConfig(), table_of(folder), num_frames=4)
