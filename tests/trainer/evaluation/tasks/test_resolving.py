"""Globs in splits, which stand for what a corpus or labels have."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.evaluation.tasks.loading import find_task
from surgstream.trainer.evaluation.tasks.opening import open_labels
from surgstream.trainer.evaluation.tasks.resolving import resolve
from surgstream.trainer.evaluation.tasks.splits import is_glob, matching
from tests.helpers.labelled import write_labelled, write_task

KNOWN = ("train_1", "train_2", "left_1", "left_2", "right_1", "spare")


def task(**changes: Any) -> TaskConfig:
    split = {"train": ["train_*"], "test": ["left_*", "right_?"], "source": "Ours."}
    tree = {
        "name": "t",
        "version": 1,
        "title": "T",
        "dataset": "d",
        "kind": "mask",
        "layer": "mask",
        "classes": ["c"],
        "split": {**split, **changes.pop("split", {})},
        "metrics": ["dice"],
        "main": "dice",
        **changes,
    }
    return build(TaskConfig, tree, where="t.yaml")


def test_globs_stand_for_the_ids_that_they_match() -> None:
    found = resolve(task(parts={"left": {"videos": ["left*"]}}), KNOWN, "shards")
    assert found.split and found.split.videos() == {
        "train": ("train_1", "train_2"),
        "val": (),
        "test": ("left_1", "left_2", "right_1"),
    }
    assert found.parts["left"].videos == ("left_1", "left_2")
    assert not found.has_globs


def test_what_is_written_as_ids_stays_the_same_object() -> None:
    split = {"train": ["v[1-3]"], "test": ["w"]}
    written = task(split=split, parts={"one": {"videos": ["w"]}})
    assert resolve(written, (), "shards") is written


@given(
    ids=st.sets(st.text("ab_1", min_size=1, max_size=4), max_size=12),
    entry=st.text("ab_1*?", min_size=1, max_size=4),
)
def test_matching_is_that_of_an_expression(ids: set[str], entry: str) -> None:
    ((same, found),) = matching([entry], ids)
    assert same == entry
    if not is_glob(entry):
        assert found == (entry,)
        return
    expression = re.escape(entry).replace(r"\*", ".*").replace(r"\?", ".")
    assert found == tuple(sorted(id for id in ids if re.fullmatch(expression, id)))


def test_ranges_are_expanded_before_globs() -> None:
    ids = ("a1_x", "a2_x", "a2_y", "a3_x")
    assert dict(matching(["a[1-2]_*"], ids)) == {"a1_*": ("a1_x",), "a2_*": ("a2_x", "a2_y")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"split": {"test": ["lefd_*"]}},
            r"shards: t: split.test: expected videos of d that 'lefd_\*' matches, got none of 6",
        ),
        (
            {"split": {"val": ["train_2"]}},
            "shards: t: train, val: expected no video in both, got 'train_2'",
        ),
        (
            {"split": {"test": ["left_*", "left_1"]}},
            "shards: t: test: expected each video once, got 'left_1' twice",
        ),
        ({"parts": {"up": {"videos": ["up_*"]}}}, r"parts.up.videos: expected videos of d that"),
        (
            {"parts": {"own": {"videos": ["train_*"]}}},
            "parts.own.videos: expected a test video or more, got none",
        ),
        (
            {"groups": {"Ann": ["train_1", "left_1"]}},
            "shards: t: train, test: expected no group in both, got 'Ann'",
        ),
        ({"subsets": {"50": ["left_1"]}}, "subsets.50: expected videos to train on, got 'left_1'"),
    ],
)
def test_what_is_wrong_with_the_ids_is_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(task(**changes), KNOWN, "shards")


def test_a_part_may_name_videos_that_are_not_tested_and_a_fold_may_lack_it() -> None:
    """As a centre's videos, which leave-one-centre-out trains on in all folds but one."""
    parts = {"left": {"videos": ["left_*"]}, "right": {"videos": ["right_*"]}}
    split = {"train": ["train_*", "right_*"], "test": ["left_*"]}
    with pytest.raises(ConfigError, match=r"parts.right.videos: expected a test video or more"):
        resolve(task(parts=parts, split=split), KNOWN, "shards")

    fold = resolve(task(parts=parts, split=split, name="t@left"), KNOWN, "shards")
    assert {name: part.videos for name, part in fold.parts.items()} == {
        "left": ("left_1", "left_2")
    }


def test_a_fold_without_a_part_keeps_what_is_published_of_it() -> None:
    parts = {"left": {"videos": ["left_*"]}, "right": {"videos": ["right_*"]}}
    split = {"train": ["train_*", "right_*"], "test": ["left_*"]}
    row = {"model": "M", "source": "S", "protocol": "P", "values": {"dice_right": 0.5}}
    fold = task(parts=parts, split=split, name="t@left", published=[row])
    assert resolve(fold, KNOWN, "shards").published == fold.published


def test_folds_of_globs_are_tested_together(tmp_path: Path) -> None:
    """As a suite scores them: each video by the model of its fold."""
    _, labels = write_labelled(tmp_path)
    split = {"train": ["v[0-3]"], "source": "Ours."}
    folds = {"six": {**split, "test": ["v6*"]}, "seven": {**split, "test": ["v7*"]}}
    word = write_task(tmp_path, "phases", split=None, folds=folds)
    found, _ = open_labels(find_task(f"{word}@*"), str(labels), None)
    assert sorted(found.videos("test")) == ["v6", "v7"]

    folds["again"] = {**split, "test": ["?7"]}
    word = write_task(tmp_path, "phases", split=None, folds=folds)
    with pytest.raises(ConfigError, match="test: expected each video once, got 'v7' twice"):
        open_labels(find_task(f"{word}@*"), str(labels), None)


def test_ids_that_nobody_has_resolved_are_not_taken_for_videos() -> None:
    with pytest.raises(ConfigError, match=r"split.train: expected ids of videos, got the glob"):
        task().videos("train")
    assert task().has_videos("test") and not task().has_videos("val")


@pytest.mark.parametrize("name", ["phases", "score"])
def test_files_of_labels_resolve_globs(name: str, tmp_path: Path) -> None:
    """Whether each video has a file or a row, and without any corpus."""
    _, labels = write_labelled(tmp_path)
    split = {"train": ["v[0-3]"], "val": ["v[4-5]"], "test": ["v6*", "v7*"], "source": "Ours."}
    written = find_task(write_task(tmp_path, name, split=split))
    found, _ = open_labels(written, str(labels), None)
    assert found.videos("test") == ("v6", "v7")
    assert found.split and written.split and found.split.train == written.split.train


def test_a_corpus_resolves_globs_where_labels_were_packed(tmp_path: Path) -> None:
    shards, _ = write_labelled(tmp_path)
    split = {"train": ["v[0-3]"], "test": ["v[6-7]*"], "source": "Ours."}
    written = find_task(write_task(tmp_path, "phases", split=split))
    found, _ = open_labels(written, None, open_storage(str(shards)))
    assert found.videos("test") == ("v6", "v7")
