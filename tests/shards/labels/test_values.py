"""What the text of a label says."""

import numpy as np
import pytest

from surgstream.shards.labels.config import LabelFilesConfig
from surgstream.shards.labels.values import LabelValues, Value

CLASSES = ("rest", "cut", "clip")


def config(*unlabelled: str) -> LabelFilesConfig:
    return LabelFilesConfig(files="{video}.csv", column="x", unlabelled=unlabelled)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("class", "cut", 1),
        ("class", "unknown", None),
        ("multilabel", "clip;rest", (2, 0)),
        ("multilabel", "", ()),
        ("multilabel", "unknown", None),
        ("number", "2.5", 2.5),
        ("number", "-1", -1.0),
        ("number", "unknown", None),
    ],
)
def test_a_text_is_a_label_or_none(kind: str, text: str, expected: Value | None) -> None:
    values = LabelValues(kind=kind, classes=CLASSES)  # type: ignore[arg-type]
    assert values.read(text, config("unknown")) == expected


def test_an_empty_text_is_no_class_or_no_label_as_the_task_says() -> None:
    values = LabelValues(kind="multilabel", classes=CLASSES)
    assert values.read("", config()) == ()
    assert values.read("", config("")) is None


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("class", "cat", "expected a class of the task, got 'cat'; did you mean 'cut'"),
        ("class", "", "expected a class of the task, got ''"),
        ("multilabel", "cut;clp", "got 'clp'; did you mean 'clip'"),
        ("multilabel", "cut;", "got ''"),
        ("number", "nan", "expected a finite number, got 'nan'"),
        ("number", "many", "expected a finite number, got 'many'"),
    ],
)
def test_what_a_task_does_not_know_is_refused(kind: str, text: str, message: str) -> None:
    values = LabelValues(kind=kind, classes=CLASSES)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        values.read(text, config("unknown"))


def test_stacked_labels_are_arrays_of_their_kind() -> None:
    classes = LabelValues(kind="class", classes=CLASSES).stack([2, None, 0])
    assert classes.dtype == np.int64 and classes.tolist() == [2, 0, 0]

    numbers = LabelValues(kind="number").stack([2.0, None])
    assert numbers.dtype == np.float64 and numbers[0] == 2 and np.isnan(numbers[1])

    several = LabelValues(kind="multilabel", classes=CLASSES).stack([(2, 0, 2), (), None])
    assert several.dtype == bool
    assert several.tolist() == [[True, False, True], [False] * 3, [False] * 3]


@pytest.mark.parametrize("kind", ["class", "multilabel", "number"])
def test_no_labels_stack_to_no_rows(kind: str) -> None:
    values = LabelValues(kind=kind, classes=CLASSES)  # type: ignore[arg-type]
    assert len(values.stack([])) == 0
