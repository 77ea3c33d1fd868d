"""What a run's order makes of its corpus: how often clips are seen, how well batches mix, which clips are cut short."""

import logging
from collections.abc import Iterator

from surgstream.shards.order.sequence import Order
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.estimates import cut_short_share, repeated_share

log = logging.getLogger(__name__)

MOST_REPEATED = 0.25
"""Of what clips show, before it is warned of."""


def look_back(config: TrainConfig) -> int:
    """How many frames, at the run's rate, before its anchor a clip of T frames begins."""
    return (config.objective.encoder.num_frames - 1) * config.data.stride


def repetition(config: TrainConfig, corpus: FrameTable, dataset: str) -> float:
    """The share of the frames which the clips of a dataset show that is a clip's earliest one again."""
    num_frames = config.objective.encoder.num_frames
    return repeated_share(
        corpus.part_frames(dataset), num_frames=num_frames, stride=config.data.stride
    )


def corpus_warnings(config: TrainConfig, corpus: FrameTable) -> Iterator[str]:
    """What the lengths and the rate of videos make of a run's clips, where that is much."""
    datasets = [size.name for size in corpus.sizes()]
    for dataset in datasets:
        yield from _repetition_warnings(config, corpus, dataset)

    denser = {dataset: corpus.frames_apart(dataset) for dataset in datasets}
    denser = {dataset: apart for dataset, apart in denser.items() if apart[-1] > 1}
    if denser:
        fps, each = config.data.fps, sorted({k for apart in denser.values() for k in apart})
        yield (
            f"{', '.join(denser)}: one in {' or '.join(map(str, each))} packed frames is shown, at data.fps={fps:g}, "
            f"and those between are read as well: a corpus of its own, packed with fps={fps:g}, is read as much faster"
        )


def _repetition_warnings(config: TrainConfig, corpus: FrameTable, dataset: str) -> Iterator[str]:
    repeated, fps = repetition(config, corpus, dataset), config.data.fps
    if repeated > MOST_REPEATED:
        seconds = f", {look_back(config) / fps:,.4g} s" if fps else ""
        denser = "raise data.fps" if fps else "pack more frames a second"
        yield (
            f"{dataset}: {100 * repeated:.0f} % of the frames that its clips show are a clip's earliest one again, "
            f"since clips look back {look_back(config):,} frames{seconds}; lower data.stride or encoder.num_frames, "
            f"{denser}, or leave short videos out (min_seconds in the corpus file)"
        )


def report_mixing(
    order: Order, config: TrainConfig, corpus: FrameTable, progress: Progress, last_step: int
) -> None:
    """Log it, and warn of datasets that are repeated much, of clips that repeat a frame, and of batches that mix badly.

    Args:
        order: The run's.
        config: The run.
        corpus: What it trains on.
        progress: Where it goes on from.
        last_step: Where it ends.
    """
    run_draws = progress.g + (last_step - progress.step) * config.global_batch_size

    for dataset in order.report():
        short = cut_short_share(corpus.part_frames(dataset.name), look_back(config))
        log.info(
            "%s (%s): %d clips, %.2f %% of the draws, each clip %.3g times in this run of %d draws; %.3g %% of them "
            "would begin before their part of a video does, and repeat the earliest frame that they show",
            dataset.name, dataset.specialty, dataset.num_clips, 100 * dataset.share,
            dataset.repeats * run_draws / order.num_clips, run_draws, 100 * short,
        )  # fmt: skip
        if dataset.repeats > config.data.order.most_repeats:
            log.warning(
                "%s: each of its %d clips is drawn %.1f times as often as an average clip, more than "
                "data.order.most_repeats %g: the model may learn it by heart; weights nearer to uniform, such as "
                "data.order.weights={temperature: 0.5}, repeat it less",
                dataset.name, dataset.num_clips, dataset.repeats, config.data.order.most_repeats,
            )  # fmt: skip

    for warning in corpus_warnings(config, corpus):
        log.warning("%s", warning)
    _report_lanes(order, config)


def _report_lanes(order: Order, config: TrainConfig) -> None:
    """Tell of batches with more clips than lanes: a warning only where a recipe could have more lanes."""
    batch, chunk_frames = config.global_batch_size, config.data.order.chunk_frames
    if order.num_lanes >= batch:
        return

    # A lane has at least one chunk of a dataset, so there can be no more lanes than these.
    most = sum(max(1, dataset.num_clips // chunk_frames) for dataset in order.report())
    if order.num_lanes < min(most, batch):
        log.warning(
            "%d lanes for batches of %d clips: some clips of a batch will be close neighbours; "
            "data.order.lanes >= global_batch_size mixes better",
            order.num_lanes, batch,
        )  # fmt: skip
    else:
        log.info(
            "%d lanes for batches of %d clips, all that this corpus has at data.order.chunk_frames=%d: some clips of a "
            "batch will be close neighbours",
            order.num_lanes, batch, chunk_frames,
        )  # fmt: skip
