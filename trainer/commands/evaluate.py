"""`surgstream evaluate`: stored predictions and labels to a result. Runs on laptops, without torch."""

import argparse
import json
import sys
from pathlib import Path

from surgstream.configs.files import write_atomically
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.evaluation.asking import ask, packed_by_presets, training_rows
from surgstream.trainer.evaluation.dense.frames import Frames
from surgstream.trainer.evaluation.dense.truth import dense_truth_of
from surgstream.trainer.evaluation.gallery import draw_gallery
from surgstream.trainer.evaluation.predicted import read_models
from surgstream.trainer.evaluation.report.page import draw_page
from surgstream.trainer.evaluation.report.result import to_json
from surgstream.trainer.evaluation.report.table import draw_table
from surgstream.trainer.evaluation.scoring import Truth, evaluate
from surgstream.trainer.evaluation.tasks.loading import label_space
from surgstream.trainer.evaluation.tasks.opening import find_judged_task, open_labels


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream evaluate`."""
    task = find_judged_task(words.task)
    space = label_space(task)
    corpus = None if words.labels else open_storage(words.corpus)
    task, labels = open_labels(task, words.labels, corpus)
    dense_truth = dense_truth_of(task, space, labels)
    where = words.labels or words.corpus
    asked = ask(task, labels, words.split, where)

    files = [(name, [path]) for name, path in words.predictions]
    models = list(read_models(files, task, space, asked, words.fps, dense_truth))
    train = training_rows(task, labels)
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
        packed_by=packed_by_presets(task, asked),
        dense_truth=dense_truth,
    )
    page = draw_table(result)
    sys.stdout.write(page)
    if words.out:
        pictures = ""
        if dense_truth and corpus:
            frames = Frames(corpus, task.dataset)
            pictures = draw_gallery(result, models, files, dense_truth, frames)
        videos = {model.name: model.seeds[0] for model in models}
        _keep(
            Path(words.out),
            {
                "result.json": json.dumps(to_json(result), indent=1) + "\n",
                "table.md": page,
                "report.html": draw_page(result, videos, space, pictures),
            },
        )
        sys.stdout.write(f"\n{words.out}: result.json, table.md, report.html\n")
    return 0


def _keep(folder: Path, content: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in content.items():
        write_atomically(folder / name, text)
