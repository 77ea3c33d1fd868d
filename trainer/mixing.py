"""Logs what a run's order makes of its corpus: repeated clips, batches that mix badly, clips that are cut short."""

import logging
from collections.abc import Iterator

from surgstream.shards.order.sequence import Order
from surgstream.shards.reading.clips import ClipShape
from surgstream.shards.reading.locations import SizedTable
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.estimates import cut_short_share, repeated_share

log = logging.getLogger(__name__)

MAX_REPEATED = 0.25
"""The share of repeated frames above which a warning is logged."""


def look_back(config: TrainConfig) -> int:
    """Count the frames, at the run's rate, from the first frame of a clip to its anchor."""
    shape = ClipShape(num_frames=config.objective.encoder.num_frames, stride=config.data.stride)
    return shape.look_back


def repetition(config: TrainConfig, corpus: SizedTable, dataset: str) -> float:
    """Compute the share of a dataset's clip frames that repeat the earliest frame of their clip."""
    return repeated_share(
        corpus,
        dataset,
        num_frames=config.objective.encoder.num_frames,
        stride=config.data.stride,
    )


def corpus_warnings(config: TrainConfig, corpus: SizedTable) -> Iterator[str]:
    """Yield warnings of short videos, whose clips repeat frames, and of a corpus packed at a higher rate."""
    datasets = [size.name for size in corpus.sizes()]
    for dataset in datasets:
        yield from _repetition_warnings(config, corpus, dataset)

    denser = []
    distances = set[int]()
    for dataset in datasets:
        frames_apart = corpus.frames_apart(dataset)
        if frames_apart[-1] > 1:
            denser.append(dataset)
            distances.update(frames_apart)

    if denser:
        fps = config.data.fps
        shown = " or ".join(map(str, sorted(distances)))
        yield (
            f"{', '.join(denser)}: one in {shown} packed frames is shown, at data.fps={fps:g}, and "
            "those between are read as well: a corpus of its own, packed with "
            f"fps={fps:g}, is read as much faster"
        )


def _repetition_warnings(config: TrainConfig, corpus: SizedTable, dataset: str) -> Iterator[str]:
    repeated = repetition(config, corpus, dataset)
    if repeated <= MAX_REPEATED:
        return

    share = (
        f"{dataset}: {100 * repeated:.0f} % of the frames that its clips show are a clip's "
        "earliest one again"
    )
    if config.task:
        yield f"{share}, since clips look back beyond their part of a video; lower clips.stride or encoder.num_frames"
        return

    fps = config.data.fps
    frames = look_back(config)
    seconds = f", {frames / fps:,.4g} s" if fps else ""
    denser = "raise data.fps" if fps else "pack more frames a second"
    yield (
        f"{share}, since clips look back {frames:,} frames{seconds}; "
        f"lower data.stride or encoder.num_frames, {denser}, or leave short videos out "
        "(min_seconds in the corpus file)"
    )


def report_mixing(
    order: Order, config: TrainConfig, corpus: SizedTable, progress: Progress, last_step: int
) -> None:
    """Log each dataset's share of the draws.

    Warns of datasets that are repeated often, of clips that repeat a frame, and of batches that mix badly.

    Args:
        order: The run's order.
        config: The run's recipe.
        corpus: The run's corpus.
        progress: The draw and step that the run goes on from.
        last_step: The run's last step.
    """
    steps_left = last_step - progress.step
    run_draws = progress.clips_seen + steps_left * config.global_batch_size
    warn_above = config.data.order.warn_repeats_above

    for dataset in order.report():
        repeats_in_run = dataset.repeats * run_draws / order.num_clips
        short = cut_short_share(corpus, dataset.name, look_back(config))
        log.info(
            "%s (%s): %d clips, %.2f %% of the draws, each clip %.3g times in this run of %d draws; "
            "%.3g %% of them would begin before their part of a video does, and repeat the "
            "earliest frame that they show",
            dataset.name,
            dataset.specialty,
            dataset.num_clips,
            100 * dataset.share,
            repeats_in_run,
            run_draws,
            100 * short,
        )
        if dataset.repeats > warn_above:
            log.warning(
                "%s: each of its %d clips is drawn %.1f times as often as an average clip, more "
                "than data.order.warn_repeats_above %g: the model may learn it by heart; weights nearer "
                "to uniform, such as data.order.weights={temperature: 0.5}, repeat it less",
                dataset.name,
                dataset.num_clips,
                dataset.repeats,
                warn_above,
            )

    for warning in corpus_warnings(config, corpus):
        log.warning("%s", warning)
    _report_lanes(order, config)


def _report_lanes(order: Order, config: TrainConfig) -> None:
    """Log that batches have more clips than lanes, as a warning where the recipe could have more lanes."""
    batch = config.global_batch_size
    chunk_frames = config.data.order.chunk_frames
    if order.num_lanes >= batch:
        return

    # A lane has at least one chunk of a dataset, so there can be no more lanes than these.
    most = sum(max(1, dataset.num_clips // chunk_frames) for dataset in order.report())
    if order.num_lanes < min(most, batch):
        log.warning(
            "%d lanes for batches of %d clips: some clips of a batch will be close neighbours; "
            "data.order.open_chunks >= global_batch_size mixes better",
            order.num_lanes,
            batch,
        )
    else:
        log.info(
            "%d lanes for batches of %d clips, all that this corpus has at "
            "data.order.chunk_frames=%d: some clips of a batch will be close neighbours",
            order.num_lanes,
            batch,
            chunk_frames,
        )
