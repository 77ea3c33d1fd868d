"""`surgstream evaluate`: stored predictions and labels to a result. Runs on laptops, without torch."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from surgstream.configs.errors import ConfigError
from surgstream.configs.files import write_atomically
from surgstream.shards.labels.timeline import Labels, TrueRows
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, Videos
from surgstream.trainer.evaluation.predictions.matching import Asked, match
from surgstream.trainer.evaluation.predictions.stored import Predictions, read_predictions
from surgstream.trainer.evaluation.predictions.tables import read_table
from surgstream.trainer.evaluation.report.page import draw_page
from surgstream.trainer.evaluation.report.result import to_json
from surgstream.trainer.evaluation.report.table import draw_table
from surgstream.trainer.evaluation.scorer import Model
from surgstream.trainer.evaluation.scoring import Truth, evaluate
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.evaluation.tasks.loading import label_space
from surgstream.trainer.evaluation.tasks.opening import find_judged_task, open_labels
from surgstream.trainer.evaluation.tasks.packed import packed_by
from surgstream.trainer.lineage.verdict import LEAKS, together, told_by


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream evaluate`."""
    task = find_judged_task(words.task)
    space = label_space(task)
    corpus = None if words.labels else open_storage(words.corpus)
    labels = open_labels(task, words.labels, corpus)
    where = words.labels or words.corpus
    asked = _asked(task, labels, words.split, where)

    models = list(_models(words.predictions, task, space, asked, words.fps))
    train = _training_rows(task, labels)
    truth = Truth(
        split=words.split,
        where=where,
        sha256=labels.sha256,  # of all that has been read by now
        train=train,
    )

    result = evaluate(
        task,
        space,
        models,
        truth,
        with_comparisons=words.compare,
        packed_by=_packed_by(task, asked),
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


def _asked(task: TaskConfig, labels: Labels, split: str, where: str) -> Asked:
    assert task.labels
    chosen = task.videos(split)
    if not chosen:
        raise ConfigError(f"{task.name}: expected videos in the {split} split, got none")
    known = {video for name in ("train", "val", "test") for video in task.videos(name)}
    videos = {video: labels.rows(video) for video in chosen}
    for video, rows in videos.items():
        if not len(rows.seconds):
            raise EvaluationError(
                f"{where}: {video}: expected labelled rows, as it is of the {split} split, got none"
            )
    return Asked(
        split=split,
        videos=videos,
        others=frozenset(known - {*chosen}),
        groups=labels.groups() | task.group_of(),
        row_seconds=0.0 if task.labels.per_video else 1 / task.rows_per_second,
    )


def _training_rows(task: TaskConfig, labels: Labels) -> list[TrueRows] | None:
    """The labelled rows of all training videos that have some; None where some videos are not at hand, or none has."""
    videos = task.videos("train")
    if not videos or not all(map(labels.has, videos)):
        return None
    return [rows for rows in map(labels.rows, videos) if len(rows.seconds)] or None


def _packed_by(task: TaskConfig, asked: Asked) -> dict[str, tuple[str, ...]]:
    """The corpora that pack some of the videos for pretraining, and which, but for those of other splits."""
    found = {
        corpus: tuple(video for video in videos if video not in asked.others)
        for corpus, videos in packed_by(task).items()
    }
    return {corpus: videos for corpus, videos in found.items() if videos}


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
        about: dict[str, Any] = {}
        verdicts = []
        for path in paths:
            predictions = _read(path, task, space, fps)
            videos, sentences = match(predictions, asked, space)
            seeds.append(videos)
            told += sentences
            digests[str(path)] = predictions.sha256
            verdicts.append(told_by(predictions.about))
            about |= {key: value for key, value in predictions.about.items() if key != LEAKS}
        yield Model(
            name=name,
            seeds=tuple(seeds),
            told=tuple(told),
            files=digests,
            about=about,
            leaks=together(verdicts).on(asked.split, asked.videos),
        )


def _read(path: Path, task: TaskConfig, space: LabelSpace, fps: float | None) -> Predictions:
    if path.suffix == ".npz":
        return read_predictions(path)
    per_video = bool(task.labels and task.labels.per_video)
    return read_table(path, space, per_video=per_video, frames_per_second=fps)


def _keep(folder: Path, content: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in content.items():
        write_atomically(folder / name, text)
