"""Warnings where a corpus is not as its corpus file, or the person who packs it, may expect."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from surgstream.shards.corpus.file import CorpusConfig, PackConfig
from surgstream.shards.format.records import VideoReport
from surgstream.shards.packing.outcome import Packed
from surgstream.shards.packing.plan import PackingPlan

log = logging.getLogger(__name__)


class Footage(NamedTuple):
    """Some videos of a dataset, and their length in all."""

    dataset: str
    num_videos: int
    seconds: float


def planned_footage(plan: PackingPlan) -> list[Footage]:
    """List the videos of a plan by their predicted lengths, without those that are too short."""
    fps = plan.options.fps
    return [
        Footage(shard.dataset, 1, video.predicted_frames / fps)
        for shard, video in plan.videos()
        if not shard.is_too_short(video.predicted_frames, fps)
    ]


def packed_footage(packed: Packed, fps: float) -> list[Footage]:
    """List the videos of a corpus: the parts that are kept, and those that are dropped.

    Videos that are too short are left out. A video that is dropped as a whole counts like the others.
    """
    kept = [
        Footage(shard.dataset, len(shard.videos), shard.num_frames / fps)
        for shard in packed.manifest.shards
    ]
    quarantine = {(video.dataset, video.video) for video in packed.quarantine}

    dropped = []
    for reading in packed.readings:
        if reading.too_short:
            continue
        # Of the videos in quarantine, only those that were dropped as a whole have a reading.
        all_dropped = (reading.dataset, reading.video) in quarantine
        dropped.append(Footage(reading.dataset, int(all_dropped), reading.dropped_seconds))

    return kept + dropped


def warn_of_other_counts(corpus: CorpusConfig, footage: Sequence[Footage]) -> None:
    """Warn of the datasets whose videos have another size than the corpus file has published counts of."""
    for dataset in corpus.datasets:
        counts = dataset.counts(corpus.pack.split)
        own = [piece for piece in footage if piece.dataset == dataset.name]
        num_videos = sum(piece.num_videos for piece in own)
        seconds = sum(piece.seconds for piece in own)
        for difference in counts.differences(num_videos, seconds):
            log.warning("datasets: %s: %s", dataset.name, difference)


def warn_of_short_videos(plan: PackingPlan) -> None:
    """Warn of datasets with videos that seem to be too short; decoding them tells whether they are."""
    fps = plan.options.fps
    planned: Counter[str] = Counter()
    short: Counter[str] = Counter()
    least_seconds = {}
    for shard, video in plan.videos():
        planned[shard.dataset] += 1
        least_seconds[shard.dataset] = shard.min_seconds
        if shard.is_too_short(video.predicted_frames, fps):
            short[shard.dataset] += 1

    for dataset, num_short in short.items():
        log.warning(
            "datasets: %s: %d of %d videos are shorter than min_seconds=%g, by the lengths that "
            "their files declare: they are left out",
            dataset,
            num_short,
            planned[dataset],
            least_seconds[dataset],
        )


def warn_of_unjudged(options: PackConfig, readings: Iterable[VideoReport]) -> None:
    """Warn of videos whose views from outside of the body were to be dropped and could not be recognised."""
    if "out_of_body" not in options.drop:
        return

    unjudged = [reading for reading in readings if not reading.judged]
    if unjudged:
        log.warning(
            "out_of_body was not looked for in %d videos, such as %s of %s, which mostly lack the "
            "colours of tissue",
            len(unjudged),
            unjudged[0].video,
            unjudged[0].dataset,
        )
