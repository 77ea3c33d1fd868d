"""What a task must not say."""

import copy
from typing import Any

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.trainer.evaluation.tasks.config import TaskConfig

TASK: dict[str, Any] = {
    "name": "t",
    "version": 1,
    "title": "T",
    "dataset": "d",
    "kind": "class",
    "labels": {"files": "d/phase/{video}.csv", "column": "phase"},
    "classes": ["rest", "cut"],
    "split": {"train": ["v[1-4]"], "val": ["v5"], "test": ["v[6-7]"], "source": "ours"},
    "groups": {"Ann": ["v[1-2]"], "Bob": ["v6"]},
    "metrics": ["phase_jaccard", "image_accuracy"],
    "main": "phase_jaccard",
    "other_metrics": {"macro_f1": "F1"},
    "published": [
        {
            "model": "m",
            "source": "s",
            "protocol": "p",
            "values": {"phase_jaccard": 50, "image_accuracy": 75},
            "caveats": ["a"],
        }
    ],
    "caveats": {"a": "Small."},
}


def task(changes: dict[str, Any]) -> TaskConfig:
    """The task with some values changed, by dotted keys."""
    tree = copy.deepcopy(TASK)
    for key, value in changes.items():
        *sections, last = key.split(".")
        at: Any = tree
        for section in sections:
            at = at[int(section) if section.isdigit() else section]
        at[last] = value
    return build(TaskConfig, tree, where="t.yaml")


def test_a_task_that_is_right() -> None:
    right = task({})
    assert right.judged_by() == {"v5", "v6", "v7"}
    assert right.group_of() == {"v1": "Ann", "v2": "Ann", "v6": "Bob"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split.val": ["v[6-7]"]}, "split: val: expected other videos than those of test"),
        ({"split.train": ["v[1-5]"]}, "split: train, val: expected no video in both, got 'v5'"),
        ({"split.train": ["v[1-"]}, r"split: expected ids such as video\[01-40\], got 'v\[1-'"),
        ({"split.test": []}, "split: test: expected at least one video, got none"),
        ({"groups.Bob": ["v4", "v6"]}, "train, test: expected no group in both, got 'Bob'"),
        ({"groups.Bob": ["v2"]}, "groups: expected each video in one, got 'v2' twice"),
        ({"subsets": {"25": ["v5"]}}, "subsets.25: expected videos to train on, got 'v5'"),
        ({"folds": {"1": TASK["split"]}}, "split: expected null beside folds"),
        ({"labels": None}, "labels: expected the files of a task that has a split"),
        ({"main": "phase_jacard"}, "main: .* got 'phase_jacard'; did you mean 'phase_jaccard'"),
        ({"main": "macro_f1"}, "main: expected one of the metrics, got 'macro_f1'"),
        ({"classes": []}, "classes: expected the names of all classes, got none"),
        ({"classes": ["rest", "cut", "cut"]}, "classes: .* got 'cut' twice"),
        ({"kind": "number"}, "classes: expected none of numbers"),
        (
            {"null_classes": ["cat"]},
            "null_classes: expected classes, got 'cat'; did you mean 'cut'",
        ),
        ({"late": {"cat": ["cut"]}}, "late: expected classes, got 'cat'"),
        ({"early": {"cut": ["rust"]}}, "early: expected classes, got 'rust'; did you mean 'rest'"),
        ({"classes": ["a", "b/c"], "components": ["v", "t"]}, "classes: expected v/t, got 'a'"),
        ({"aliases": {"x": "a = b"}}, "aliases.x: expected two ids such as"),
        ({"published.0.values": {"f1": 1.0}}, "published: m: expected a metric .* got 'f1'"),
        ({"published.0.num_rows": 3}, "image_accuracy: 75 is no k of 3; correct it, or name a cav"),
        ({"published.0.caveats": ["a", "b"]}, "caveats.b: expected a text, got none"),
        ({"published.0.caveats": []}, "caveats.a: expected to be used, got no row that names it"),
    ],
)
def test_mistakes_are_refused_with_their_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        task(changes)
    assert "1 mistake(s)" in str(caught.value)


def test_what_is_impossible_may_be_printed_with_a_caveat_that_says_so() -> None:
    changes = {"published.0.num_rows": 3, "caveats.a": "Impossible: it is no share of three."}
    assert task(changes).published[0].values["image_accuracy"] == 75


def test_an_official_split_may_share_groups_for_a_reason() -> None:
    groups = {"groups.Bob": ["v4", "v6"]}
    assert task({**groups, "split.shares_groups": "official"}).split is not None


def test_published_values_alone_are_enough() -> None:
    only = task({"labels": None, "split": None, "groups": {}, "classes": [], "main": "macro_f1"})
    assert only.splits() == () and only.judged_by() == set()


def test_folds_are_judged_by_together() -> None:
    one = {"train": ["v[1-2]"], "test": ["v3"], "source": "s"}
    other = {"train": ["v[2-3]"], "test": ["v1"], "source": "s"}
    both = task({"split": None, "folds": {"1": one, "2": other}, "groups": {}})
    assert both.judged_by() == {"v1", "v3"}


def test_metrics_that_nobody_has_are_told() -> None:
    told = task({}).unknown_metrics(["phase_jaccard", "video_accuracy"])
    assert list(told) == [
        "metrics: no metric has the id 'image_accuracy'; did you mean 'video_accuracy'?"
    ]
