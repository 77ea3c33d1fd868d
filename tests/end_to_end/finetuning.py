"""Runs of fine-tuning on made-up videos with labels, started as a user starts them."""

from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from surgstream.trainer.evaluation.predictions.stored import Predictions, read_predictions
from tests.end_to_end.runs import log
from tests.helpers.handmade import write_corpus
from tests.helpers.ranks import finish, kill, start, wait_for
from tests.trainer.objectives.golden import waves

CLASSES = ("open", "cut", "sew")
VIDEOS = {"train": ("a", "b", "c", "d"), "val": ("e", "f"), "test": ("g", "h", "i")}
LENGTHS = dict(zip("abcdefghi", (20, 17, 9, 14, 12, 11, 13, 7, 16), strict=True))
"""Frames of each video, at one a second, each a labelled row."""

SMALL = (
    "warm_start=null", "global_batch_size=8", "micro_batch_size=4", "clips_per_epoch=16", "epochs=4",
    "optim.base_lr=0.3", "optim.warmup_epochs=1", "data.order.open_chunks=8", "data.order.chunk_frames=6",
    "objective.encoder.embed_dim=48", "objective.encoder.depth=2", "objective.encoder.num_heads=2",
    "objective.encoder.image_size=32", "objective.encoder.drop_path=0.2", "objective.mix={}", "clips.stride=2",
    "data.augment={resized_crop: {}, flip: 0.5, rand_augment: {}, erase: {}}", "metrics.every_steps=1",
    "metrics.pictures_every_steps=0", "metrics.collapse_every_steps=0", "checkpoint.every_steps=3",
    "checkpoint.keep_last=1",
)  # fmt: skip
"""Eight steps, validated after each second one."""


class Hospital:
    """A packed corpus, its labels, and tasks over them.

    Attributes:
        folder: Where all lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "corpus").mkdir()
        (folder / "labels").mkdir()
        write_corpus(
            folder / "corpus",
            {"hip": [{video: [(0, length)]} for video, length in LENGTHS.items()]},
            fps=1.0,
            picture=waves,
        )
        for video, length in LENGTHS.items():
            rows = [f"{second},{CLASSES[3 * second // length]}" for second in range(length)]
            self._write(f"labels/{video}.csv", ["second,phase", *rows])
        scores = [f"{video},{length / 2}" for video, length in LENGTHS.items()]
        self._write("labels/videos.csv", ["video,score", *scores])

        phases = {"kind": "class", "metrics": ["image_accuracy"], "classes": [*CLASSES]}
        skill = {"kind": "number", "metrics": ["mae", "spearman"]}
        self._task("phases", "{video}.csv", "phase", phases)
        self._task("skill", "videos.csv", "score", skill)
        self._task("unvalidated", "{video}.csv", "phase", phases, without=("val",))

    def words(self, run_dir: Path, *overrides: str, task: str = "phases") -> list[str]:
        """The words of `surgstream finetune`, later ones winning."""
        given = (
            *SMALL,
            f"task={self.folder / task}.yaml",
            f"labels={self.folder / 'labels'}",
            f"data.corpus={self.folder / 'corpus'}",
            f"run_dir={run_dir}",
            *overrides,
        )
        return ["finetune_tiny", *{word.partition("=")[0]: word for word in given}.values()]

    def begin(
        self, run_dir: Path, world_size: int, *overrides: str, task: str = "phases"
    ) -> list[BaseProcess]:
        """Start a run, or its next part."""
        words = ["finetune", *self.words(run_dir, *overrides, task=task)]
        return start(words, world_size, run_dir.with_suffix(".log"))

    def finetune(
        self, run_dir: Path, world_size: int, *overrides: str, task: str = "phases"
    ) -> Predictions:
        """Run to the end; returns the predictions of the test."""
        statuses = finish(self.begin(run_dir, world_size, *overrides, task=task))
        assert statuses == [0] * world_size, log(run_dir)
        return read_predictions(run_dir / "predictions" / "test.npz")

    def interrupt(
        self, run_dir: Path, world_size: int, moment: Callable[[], bool], *overrides: str
    ) -> None:
        """Start a part of a run and SIGKILL all its ranks at some moment."""
        ranks = self.begin(run_dir, world_size, *overrides)
        wait_for(lambda: moment() or not all(rank.is_alive() for rank in ranks))
        assert all(rank.is_alive() for rank in ranks), f"it ended before: {log(run_dir)}"
        assert -9 in kill(ranks)  # the others may have seen it die

    def _write(self, name: str, lines: list[str]) -> None:
        (self.folder / name).write_text("\n".join(lines) + "\n")

    def _task(
        self,
        name: str,
        files: str,
        column: str,
        more: dict[str, Any],
        without: tuple[str, ...] = (),
    ) -> None:
        split = {key: [*ids] for key, ids in VIDEOS.items() if key not in without}
        tree = {
            "name": name,
            "version": 1,
            "title": name,
            "dataset": "hip",
            "labels": {"files": files, "column": column},
            "split": split | {"source": "ours"},
            "main": more["metrics"][0],
            **more,
        }
        self._write(f"{name}.yaml", [yaml.safe_dump(tree)])


def scores(predictions: Predictions) -> np.ndarray:
    """All scores, or values, in the order of videos and seconds: (n, C)."""
    rows = []
    for name in sorted(predictions.videos):
        video = predictions.videos[name]
        found = video.predicted if video.scores is None else video.scores
        rows.append(np.asarray(found).reshape(len(video.seconds), -1))
    return np.concatenate(rows)
