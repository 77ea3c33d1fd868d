"""`surgstream evaluate`: stored predictions and labels to a result. Runs on laptops, without torch."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from surgstream.shards.labels.files import LabelFiles
from surgstream.shards.labels.packed import PackedLabels
from surgstream.shards.labels.values import LabelValues
from surgstream.trainer.evaluation.tasks.loading import label_space, load_task
from surgstream.trainer.evaluation.tasks.overlaps import packed_by
from surgstream.trainer.evaluation.tasks.splits import Split, split_of

from surgstream.configs.errors import ConfigError
from surgstream.configs.files import write_atomically
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import Stores, open_storage
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, Videos
from surgstream.trainer.evaluation.predictions.matching import Asked, match
from surgstream.trainer.evaluation.predictions.stored import Predictions, read_predictions
from surgstream.trainer.evaluation.predictions.tables import read_table
from surgstream.trainer.evaluation.report.page import draw_page
from surgstream.trainer.evaluation.report.result import to_json
from surgstream.trainer.evaluation.report.table import draw_table
from surgstream.trainer.evaluation.scoring import Model, Truth, evaluate
from surgstream.trainer.evaluation.tasks.config import TaskConfig


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream evaluate`."""
    task = load_task(words.task)
    if task.labels is None or task.split is None:
        raise ConfigError(f"{words.task}: expected a task with labels, got published values alone")

    space = label_space(task)
    split = split_of(task)
    labels = _labels(task, space, words)
    asked = _asked(task, split, labels, words.split)

    models = list(_models(words.predictions, task, space, asked, words.fps))
    train = split.videos("train")
    truth = Truth(
        split=words.split,
        where=words.labels or words.corpus,
        sha256=labels.sha256,
        train=[labels.rows(video) for video in train] if all(map(labels.has, train)) else None,
    )

    result = evaluate(
        task,
        space,
        models,
        truth,
        with_comparisons=words.compare,
        packed_by=packed_by(task) if words.split != "train" else {},
    )
    page = draw_table(result)
    sys.stdout.write(page)
    if words.out:
        videos = {model.name: model.seeds[0] for model in models}
        _keep(
            Path(words.out),
            {
                "result.json": json.dumps(to_json(result), indent=1) + "\n",
                "table.md": page,
                "report.html": draw_page(result, videos, space),
            },
        )
        sys.stdout.write(f"\n{words.out}: result.json, table.md, report.html\n")
    return 0


def _labels(
    task: TaskConfig, space: LabelSpace, words: argparse.Namespace
) -> LabelFiles | PackedLabels:
    assert task.labels
    values = LabelValues(kind=space.kind, classes=space.classes)
    if words.labels:
        return LabelFiles(task.labels, values, words.labels, Stores())
    table = FrameTable.open(open_storage(words.corpus), fps=task.rows_per_second, check=False)
    return PackedLabels(task.labels, values, table, task.dataset)


def _asked(task: TaskConfig, split: Split, labels: LabelFiles | PackedLabels, name: str) -> Asked:
    assert task.labels
    chosen = split.videos(name)
    if not chosen:
        raise ConfigError(f"{task.name}: expected videos in the {name} split, got none")
    return Asked(
        split=name,
        videos={video: labels.rows(video) for video in chosen},
        others=frozenset(split.all) - {*chosen},
        groups=split.groups | labels.groups(),
        row_seconds=0.0 if task.labels.per_video else 1 / task.rows_per_second,
    )


def _models(
    files: Sequence[tuple[str, Path]],
    task: TaskConfig,
    space: LabelSpace,
    asked: Asked,
    fps: float | None,
) -> Iterator[Model]:
    """Read and match the predictions of each model, and of each of its seeds."""
    by_name: dict[str, list[Path]] = {}
    for name, path in files:
        by_name.setdefault(name, []).append(path)

    for name, paths in by_name.items():
        seeds: list[Videos] = []
        told: list[str] = []
        digests = {}
        about = {}
        for path in paths:
            predictions = _read(path, task, space, fps)
            videos, sentences = match(predictions, asked, space)
            seeds.append(videos)
            told += sentences
            digests[str(path)] = predictions.sha256
            about |= predictions.about
        yield Model(name=name, seeds=tuple(seeds), told=tuple(told), files=digests, about=about)


def _read(path: Path, task: TaskConfig, space: LabelSpace, fps: float | None) -> Predictions:
    if path.suffix == ".npz":
        return read_predictions(path)
    per_video = bool(task.labels and task.labels.per_video)
    return read_table(path, space, per_video=per_video, frames_per_second=fps)


def _keep(folder: Path, content: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in content.items():
        write_atomically(folder / name, text)
