"""From a recipe to its corpus, its clips and its periodic tasks."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.locations import ClipTable
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.data.config import AugmentConfig, DataConfig, View
from surgstream.trainer.data.loader import Truth
from surgstream.trainer.data.source import ClipSource
from surgstream.trainer.distributed import RankInfo, from_main
from surgstream.trainer.engine.config import HeldOutConfig
from surgstream.trainer.engine.metrics import Value
from surgstream.trainer.engine.periodic import (
    CollapseCheck,
    HeldOutLoss,
    Periodic,
    ReconstructionPictures,
    StepContext,
)
from surgstream.trainer.engine.pictures import PICTURED_CLIPS
from surgstream.trainer.engine.zero import ZeroEngine
from surgstream.trainer.labelled.config import TaskClipsConfig
from surgstream.trainer.labelled.opening import open_task
from surgstream.trainer.objectives.base import Objective
from surgstream.trainer.probing.config import ProbeConfig
from surgstream.trainer.probing.linear_probe import ClipsWithLabels, Probe
from surgstream.trainer.probing.tasks.clips import SomeClips
from surgstream.trainer.probing.tasks.probe import TaskProbe, check_split


def training_corpus(data: DataConfig) -> FrameTable:
    """Open what a recipe trains on; see `open_corpus`."""
    return open_corpus(data.corpus, data, data.datasets)


def open_corpus(uri: str, data: DataConfig, datasets: Sequence[str] | None = None) -> FrameTable:
    """Open a packed corpus on every rank, at a recipe's rate; rank 0 alone checks that nothing of it is missing.

    Args:
        uri: The corpus.
        data: The recipe's rate and store.
        datasets: Those to take; None takes all.
    """
    storage = open_storage(uri, data.s3)
    corpus = FrameTable.open(storage, fps=data.fps, check=False, datasets=datasets)
    from_main(corpus.check_sizes)
    return corpus


def clip_source(
    config: TrainConfig,
    rank_info: RankInfo,
    corpus: ClipTable,
    augment: AugmentConfig | View,
    truth: Truth | None = None,
) -> ClipSource:
    """The clips of a corpus in the shape of the model's input, with what is true of them where `truth` says it."""
    return ClipSource(
        config.data,
        corpus,
        seed=config.seed,
        num_frames=config.objective.encoder.num_frames,
        image_size=config.objective.encoder.image_size,
        micro_batch_size=config.micro_batch_size,
        rank_info=rank_info,
        augment=augment,
        truth=truth,
    )


def held_out_clips(config: TrainConfig, settings: HeldOutConfig, rank_info: RankInfo) -> ClipSource:
    """The held-out clips, as centre squares."""
    corpus = open_corpus(settings.corpus, config.data)
    return clip_source(config, rank_info, corpus, augment="centre")


def labelled_clips(
    config: TrainConfig, rank_info: RankInfo, uri: str, label: str, num_clips: int
) -> ClipsWithLabels:
    """Labelled clips of a corpus, as centre squares."""
    corpus = open_corpus(uri, config.data)
    source = clip_source(config, rank_info, corpus, augment="centre")
    return ClipsWithLabels(source, corpus, label, num_clips)


def task_probe(config: TrainConfig, settings: ProbeConfig, rank_info: RankInfo) -> TaskProbe:
    """The online probe on a task, whose clips have the task's own stride and see all of each picture.

    Raises:
        ConfigError: The task has no training or no validation videos, or the corpus does not fit it.
        LabelError: Labels are missing or malformed.
    """
    assert settings.task
    # Each packed frame is shown, as tasks count in these
    data = replace(config.data, fps=None, stride=1)
    corpus = open_corpus(settings.corpus or config.data.corpus, data)
    num_frames = config.objective.encoder.num_frames
    task = open_task(
        settings.task, settings.labels, TaskClipsConfig(), corpus, num_frames=num_frames
    )

    def some_clips(name: str, num_clips: int) -> SomeClips:
        split = task.split(name)
        check_split(split)
        source = clip_source(replace(config, data=data), rank_info, split.table, augment="squash")
        return SomeClips(source, split, num_clips)

    return TaskProbe(
        settings=settings,
        task=task,
        fit=some_clips("train", settings.clips),
        judge=some_clips("val", settings.test_clips),
        seed=config.seed,
        micro_batch_size=config.micro_batch_size,
        rank_info=rank_info,
    )


def periodic_tasks(
    config: TrainConfig,
    rank_info: RankInfo,
    engine: ZeroEngine,
    objective: Objective,
    held_out: ClipSource | None,
) -> list[Periodic]:
    """The recipe's periodic tasks, in the order in which they run.

    Args:
        config: The recipe.
        rank_info: This rank's place.
        engine: The objective under ZeRO.
        objective: The objective itself.
        held_out: The held-out clips, where the recipe has any.
    """
    tasks: list[Periodic] = []
    if config.held_out and held_out:
        open_all = partial(held_out.open_pass, config.held_out.clips)
        loss = HeldOutLoss(engine, objective, rank_info, open_all)
        tasks.append(Periodic(config.held_out.every_steps, loss))
    if config.probe:
        probe = online_probe(config, config.probe, rank_info, engine, objective)
        tasks.append(Periodic(config.probe.every_steps, probe))

    collapse = CollapseCheck(engine, objective, rank_info)
    tasks.append(Periodic(config.metrics.collapse_every_steps, collapse))

    open_some = partial(held_out.open_pass, PICTURED_CLIPS, shared=False) if held_out else None
    pictures = ReconstructionPictures(engine, objective, rank_info, Path(config.run_dir), open_some)
    tasks.append(Periodic(config.metrics.pictures_every_steps, pictures))
    return tasks


def online_probe(
    config: TrainConfig,
    settings: ProbeConfig,
    rank_info: RankInfo,
    engine: ZeroEngine,
    objective: Objective,
) -> Callable[[StepContext], dict[str, Value]]:
    """Make a function that runs the probe on the objective's features."""
    if settings.task:
        on_task = task_probe(config, settings, rank_info)
        measure = partial(on_task.measure, objective.embed, objective.embed_tokens)
    else:
        measure = partial(_label_probe(config, settings, rank_info).measure, objective.embed)

    def run(context: StepContext) -> dict[str, Value]:
        with engine.autocast():
            scores = measure(context.poll_stop)
        return {f"probe/{name}": score for name, score in scores.items()}

    return run


def _label_probe(config: TrainConfig, settings: ProbeConfig, rank_info: RankInfo) -> Probe:
    """The online probe on labels of the corpora themselves."""
    held_out_corpus = config.held_out.corpus if config.held_out else config.data.corpus
    fit_corpus = settings.corpus or config.data.corpus
    test_corpus = settings.test_corpus or held_out_corpus
    return Probe(
        labelled_clips(config, rank_info, fit_corpus, settings.label, settings.clips),
        labelled_clips(config, rank_info, test_corpus, settings.label, settings.test_clips),
    )
