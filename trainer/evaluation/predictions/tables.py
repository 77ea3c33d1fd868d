"""Predictions as anybody has them: a CSV file with a row for each video and second.

    video,second,label                      one class, several with `;` between, or a number
    video,second,preparation,dissection     a score for each class: probabilities, logits or any other
    video,label                             of tasks that label videos as a whole

`frame`, counted from 0, may take the place of `second` where the rate is told. Columns may be parted by tabs or
semicolons as well.
"""

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from surgstream.configs.files import open_regular
from surgstream.configs.suggestions import did_you_mean
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.metrics.samples import LabelSpace
from surgstream.trainer.evaluation.predictions.stored import (
    PredictedVideo,
    Predictions,
    check_video,
)

_SEPARATORS = ",\t;"
_SHOWN = 80


class _Reader(Protocol):
    """The part of `csv.reader` that is used here."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...


@dataclass
class _Rows:
    """The rows of a video, in the order of the file."""

    seconds: list[float] = field(default_factory=list)
    values: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class _Header:
    """The places of columns.

    Attributes:
        video: The column of ids.
        time: The column of times; None where a row is of a video as a whole.
        per_second: What its numbers are divided by.
        label: The column of labels or values; None where there are scores.
        scores: The columns of scores, in the order of the classes.
    """

    video: int
    time: int | None
    per_second: float
    label: int | None
    scores: tuple[int, ...]


def read_table(
    path: Path,
    space: LabelSpace,
    *,
    per_video: bool = False,
    frames_per_second: float | None = None,
) -> Predictions:
    """Read a CSV file of predictions.

    Args:
        path: The file.
        space: What labels there are.
        per_video: Whether a row is of a video as a whole.
        frames_per_second: The rate of the column `frame`.

    Raises:
        EvaluationError: It is no such file, a class is not known, a row has no number where one belongs, or a second
            is there twice; the line is named.
        OSError: It cannot be read.
    """
    with open_regular(path) as file:
        content = file.read()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{path}: expected a CSV file in UTF-8, got: {error}") from None

    first_line = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        header = _read_header(names, path, space, per_video, frames_per_second)
        rows = _read_rows(reader, header, len(names), path, space)
    except csv.Error as error:
        raise EvaluationError(f"{path}: line {reader.line_num}: {error}") from None

    return Predictions(
        where=str(path),
        sha256=hashlib.sha256(content).hexdigest(),
        classes=space.classes,
        videos={name: _video(of, header, space, f"{path}: {name}") for name, of in rows.items()},
    )


def _read_header(
    names: Sequence[str],
    path: Path,
    space: LabelSpace,
    per_video: bool,
    frames_per_second: float | None,
) -> _Header:
    if "video" not in names:
        line = ",".join(names)[:_SHOWN]
        raise EvaluationError(f"{path}: expected a CSV file with a column `video`, got {line!r}")

    if twice := [name for name in dict.fromkeys(names) if name and names.count(name) > 1]:
        raise EvaluationError(f"{path}: expected each column once, got {twice[0][:_SHOWN]!r} twice")

    time, per_second = _time_column(names, path, per_video, frames_per_second)
    others = [name for name in names if name not in ("video", "second", "frame")]
    if "label" in others or space.kind == "number":
        if others != ["label"]:
            got = ", ".join(others) or "none"
            raise EvaluationError(f"{path}: expected one column `label` beside, got {got}")
        return _Header(
            video=names.index("video"),
            time=time,
            per_second=per_second,
            label=names.index("label"),
            scores=(),
        )

    for name in others:
        if name not in space.classes:
            raise EvaluationError(
                f"{path}: expected a column `label`, or one of scores for each class, got the column "
                f"{name[:_SHOWN]!r}{did_you_mean(name, space.classes)}"
            )
    if missing := [name for name in space.classes if name not in others]:
        raise EvaluationError(
            f"{path}: expected a column of scores for each of {len(space.classes)} classes, "
            f"{missing[0]!r} has none"
        )
    return _Header(
        video=names.index("video"),
        time=time,
        per_second=per_second,
        label=None,
        scores=tuple(names.index(name) for name in space.classes),
    )


def _time_column(
    names: Sequence[str], path: Path, per_video: bool, frames_per_second: float | None
) -> tuple[int | None, float]:
    """The column of times, and what its numbers are divided by."""
    if per_video:
        return None, 1.0
    if "second" in names:
        return names.index("second"), 1.0
    if "frame" not in names:
        raise EvaluationError(f"{path}: expected a column `second` or `frame`, got neither")
    if frames_per_second is None:
        raise EvaluationError(
            f"{path}: expected the rate that the column `frame` counts at; give it by --fps"
        )
    return names.index("frame"), frames_per_second


def _read_rows(
    reader: "_Reader", header: _Header, num_columns: int, path: Path, space: LabelSpace
) -> dict[str, _Rows]:
    numbers = {name: number for number, name in enumerate(space.classes)}
    found: dict[str, _Rows] = {}
    for line in reader:
        if not line:
            continue

        where = f"{path}: line {reader.line_num}"
        if len(line) != num_columns:
            raise EvaluationError(f"{where}: expected {num_columns} columns, got {len(line)}")
        name = line[header.video].strip()
        if header.time is None and name in found:
            raise EvaluationError(f"{where}: expected one row a video, got {name[:_SHOWN]!r} twice")
        rows = found.setdefault(name, _Rows())
        second = 0.0 if header.time is None else _number(line[header.time], where)
        rows.seconds.append(second / header.per_second)

        if header.label is None:
            rows.values.append([_number(line[column], where) for column in header.scores])
        elif space.kind == "number":
            rows.values.append([_number(line[header.label], where)])
        else:
            rows.values.append(_labels(line[header.label], numbers, where, space))
    return found


def _labels(text: str, numbers: dict[str, int], where: str, space: LabelSpace) -> list[float]:
    """The number of a class; or, of several, a 1 for each that is named and a 0 for the others."""
    several = space.kind == "multilabel"
    names = (
        [name.strip() for name in text.split(";") if name.strip()] if several else [text.strip()]
    )
    for name in names:
        if name not in numbers:
            hint = did_you_mean(name, space.classes)
            raise EvaluationError(f"{where}: expected a class, got {name[:_SHOWN]!r}{hint}")

    if not several:
        return [numbers[names[0]]]
    row = [0.0] * len(numbers)
    for name in names:
        row[numbers[name]] = 1.0
    return row


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise EvaluationError(f"{where}: expected a number, got {text[:_SHOWN]!r}") from None


def _video(rows: _Rows, header: _Header, space: LabelSpace, where: str) -> PredictedVideo:
    seconds = np.array(rows.seconds)
    values = np.array(rows.values)
    order = np.argsort(seconds, kind="stable")
    seconds = seconds[order]
    values = values[order]

    if header.label is None or space.kind == "multilabel":
        video = PredictedVideo(seconds=seconds, scores=values)
    elif space.kind == "class":
        video = PredictedVideo(seconds=seconds, predicted=values[:, 0].astype(np.int64))
    else:
        video = PredictedVideo(seconds=seconds, predicted=values[:, 0])
    check_video(video, where, num_classes=len(space.classes))
    return video
