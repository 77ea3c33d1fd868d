"""From files of predictions to a result, with all that its page shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.evaluation.asking import ask, packed_by_presets, training_rows
from surgstream.trainer.evaluation.dense.frames import Frames
from surgstream.trainer.evaluation.dense.truth import DenseTruth, dense_truth_of
from surgstream.trainer.evaluation.gallery import draw_gallery
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, Videos
from surgstream.trainer.evaluation.predicted import read_models
from surgstream.trainer.evaluation.report.page import draw_page
from surgstream.trainer.evaluation.report.result import Result
from surgstream.trainer.evaluation.report.table import draw_table
from surgstream.trainer.evaluation.scorer import Model
from surgstream.trainer.evaluation.scoring import Truth, evaluate
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.evaluation.tasks.loading import label_space
from surgstream.trainer.evaluation.tasks.opening import find_judged_task, open_labels

Files = Sequence[tuple[str, Sequence[Path]]]
"""For each seed of a model its name, and the files of its predictions."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """Scored predictions.

    Attributes:
        task: The task, with the ids of its videos.
        result: The scores.
        models: The models, over the same videos.
        files: The files that they were read from.
        space: What labels there are.
        dense_truth: What is true of each pixel, of masks and depth.
        frames: The frames that pictures are of, where there are pictures.
    """

    task: TaskConfig
    result: Result
    models: tuple[Model, ...]
    files: Files
    space: LabelSpace
    dense_truth: DenseTruth | None
    frames: Frames | None

    @cached_property
    def table(self) -> str:
        """The table, in Markdown."""
        return draw_table(self.result)

    @property
    def videos(self) -> dict[str, Videos]:
        """The videos of each model, of several seeds those of the first, by its name."""
        return {model.name: model.seeds[0] for model in self.models}

    @cached_property
    def pictures(self) -> str:
        """Of masks and depth what was predicted for some frames, as HTML; else empty."""
        if self.dense_truth is None or self.frames is None:
            return ""
        return draw_gallery(self.result, self.models, self.files, self.dense_truth, self.frames)

    @cached_property
    def page(self) -> str:
        """The page, an HTML file that needs no other."""
        return draw_page(self.result, self.videos, self.space, self.pictures)


def judge_files(
    word: str,
    files: Files,
    *,
    labels: str | None,
    corpus: str | None,
    split: str = "test",
    fps: float | None = None,
    compare: bool = False,
) -> Judged:
    """Score the predictions of files.

    Args:
        word: The task; see `find_task`.
        files: The files.
        labels: The folder of labels, or its address; None takes those that were packed.
        corpus: The address of the packed corpus, which has masks and depth, and other labels where no folder is given.
        split: `test` or `val`.
        fps: What the column `frame` of CSV files counts a second.
        compare: Whether models are compared with each other.

    Raises:
        SurgstreamError: The task, its labels or a file cannot be read, or do not fit each other.
    """
    task = find_judged_task(word)
    space = label_space(task)
    storage = open_storage(corpus) if corpus else None
    task, found = open_labels(task, labels, storage)
    dense_truth = dense_truth_of(task, space, found)
    where = (corpus if task.layer else labels or corpus) or ""
    asked = ask(task, found, split, where)

    models = tuple(read_models(files, task, space, asked, fps, dense_truth))
    train = training_rows(task, found)
    result = evaluate(
        task,
        space,
        models,
        # The digest is that of all labels that have been read by now
        Truth(split=split, where=where, sha256=found.sha256, train=train),
        with_comparisons=compare,
        packed_by=packed_by_presets(task, asked),
        dense_truth=dense_truth,
    )
    return Judged(
        task=task,
        result=result,
        models=models,
        files=files,
        space=space,
        dense_truth=dense_truth,
        frames=Frames(storage, task.dataset) if dense_truth and storage else None,
    )
