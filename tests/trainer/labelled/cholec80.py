"""The bookkeeping of a task of Cholec80's size, with a stub in the place of the encoder; a process of its own."""

import gc
import json
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from surgstream.shards.order.sequence import Order, OrderConfig
from surgstream.shards.reading.locations import ClipTable
from surgstream.shards.reading.passes import share
from surgstream.trainer.batch import ClipName
from surgstream.trainer.evaluation.predictions.stored import write_predictions
from surgstream.trainer.labelled.clips import SplitClips, TaskClips
from surgstream.trainer.labelled.collecting import Collector
from surgstream.trainer.labelled.config import TaskClipsConfig
from surgstream.trainer.labelled.opening import open_task
from surgstream.trainer.labelled.scoring import main_metric
from tests.helpers.ranks import process_group
from tests.helpers.streams import one_step_share
from tests.trainer.labelled.made_up import table_of

NUM_VIDEOS = {"train": 40, "val": 8, "test": 32}
SECONDS = {"train": 2159, "val": 2000, "test": 2766}
"""Of each video; together 86 thousand of training and 88 thousand of test."""

CLASSES = tuple("abcdefg")
NUM_HEADS = 16
BATCH = 64

TASK = f"""\
name: of_cholec80_s_size
version: 1
title: Made up
dataset: made_up
kind: class
labels: {{files: "{{video}}.csv", column: phase}}
classes: [{", ".join(CLASSES)}]
split: {{train: ["train[01-40]"], val: ["val[01-08]"], test: ["test[01-32]"], source: ours}}
clip: {{num_frames: 16, stride: 4}}
metrics: [phase_jaccard]
main: phase_jaccard
"""


def lengths(factor: float) -> dict[str, int]:
    """Seconds of each video."""
    return {
        f"{split}{number:02}": int(factor * SECONDS[split])
        for split, count in NUM_VIDEOS.items()
        for number in range(1, count + 1)
    }


def write(folder: Path, factor: float) -> None:
    """Write the task and its labels: a row a second, and twenty phases a video."""
    folder.mkdir()
    (folder / "task.yaml").write_text(TASK)
    for number, (video, seconds) in enumerate(lengths(factor).items()):
        phases = [(20 * second // seconds + number) % len(CLASSES) for second in range(seconds)]
        rows = "".join(f"{second},{CLASSES[phase]}\n" for second, phase in enumerate(phases))
        (folder / f"{video}.csv").write_text(f"second,phase\n{rows}")


def open_all(
    folder: Path, factor: float, balance: Any = "none"
) -> tuple[TaskClips, list[SplitClips], Order]:
    """What a rank holds before its first step."""
    table = table_of({video: [(0, count)] for video, count in lengths(factor).items()}, 1.0)
    task = open_task(
        str(folder / "task.yaml"),
        str(folder),
        TaskClipsConfig(balance=balance),
        table,
        num_frames=16,
    )
    splits = [task.split(name) for name in ("train", "val", "test")]
    for split in splits:
        assert split.table.sha256
    train = splits[0]
    order = Order.create(train.training_table.sizes(), 0, train.training_order(OrderConfig()))
    order.draws(0, 1000)
    return task, splits, order


def batches(table: ClipTable) -> Iterator[tuple[list[ClipName], np.ndarray[Any, Any]]]:
    """The batches of a pass, by names alone."""
    (size,) = table.sizes()
    mine = share(size.num_clips, one_step_share(0, 1, BATCH))
    for step in range(mine.num_steps):
        numbers = range(step * BATCH, min((step + 1) * BATCH, mine.stop))
        places = table.locate_all([size.name] * len(numbers), numbers)
        names = [ClipName(place.dataset, place.video, place.frame) for place in places]
        padding = BATCH - len(names)
        yield names + names[-1:] * padding, np.arange(BATCH) < len(names)


def predict(split: SplitClips, folder: Path) -> list[float]:
    """Predict the split with sixteen heads, write what they say, and score them."""
    collector = Collector(split)
    noise = np.random.default_rng(0)
    for names, valid in batches(split.table):
        right = np.eye(len(CLASSES))[split.truth(names)]
        errors = np.linspace(0, 1, NUM_HEADS)[:, None, None]
        drawn = noise.uniform(size=(NUM_HEADS, BATCH, len(CLASSES)))
        collector.add(names, valid, (1 - errors) * right + errors * drawn)

    found = collector.gather()
    config = split._task.config
    for head, predictions in enumerate(found):
        write_predictions(folder / f"head{head}.npz", predictions)
    return [main_metric(predictions, split, config) for predictions in found]


def train_a_while(split: SplitClips, order: Order, num_batches: int) -> float:
    """Seconds of asking what is true of the clips of a batch, in the order of training."""
    table = split.training_table
    seconds = 0.0
    for step in range(num_batches):
        draws = order.draws(BATCH * step, BATCH)
        datasets = [order.dataset_names[number] for number in draws.dataset.tolist()]
        places = table.locate_all(datasets, draws.clip.tolist())
        names = [ClipName(place.dataset, place.video, place.frame) for place in places]
        started = time.perf_counter()
        split.truth(names)
        seconds += time.perf_counter() - started
    return seconds / num_batches


def most_bytes() -> int:
    """The most memory that this process has had at a time."""
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line
    )
    return int(line.split()[1]) * 1024


def run(folder: Path) -> dict[str, Any]:
    """The whole of it."""
    started = time.perf_counter()
    _, (train, val, test), order = open_all(folder, 1)
    opened = time.perf_counter()
    truth_seconds = train_a_while(train, order, 500)
    with process_group():
        before = time.perf_counter()
        scores = predict(test, folder)
        after = time.perf_counter()
        predict(val, folder)
    return {
        "num_clips": [split.table.sizes()[0].num_clips for split in (train, val, test)],
        "scores": scores,
        "most_bytes": most_bytes(),
        "open_seconds": opened - started,
        "truth_seconds": truth_seconds,
        "test_seconds": after - before,
    }


def kept_bytes(folder: Path, factor: float, balance: str) -> int:
    """The bytes that a rank keeps at its start, beside the code that it has loaded."""
    open_all(folder, factor, balance)
    gc.collect()
    tracemalloc.start()
    kept = open_all(folder, factor, balance)
    gc.collect()
    num_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return num_bytes


if __name__ == "__main__":
    told = run(Path(sys.argv[1]))
    Path(sys.argv[2]).write_text(json.dumps(told))
