"""`surgstream order`: which clip is drawn when, and which rank reads it."""

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import groupby

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import load
from surgstream.configs.ranges import LAST_DRAW
from surgstream.shards.order.sequence import place
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.checkpoint_files import read_progress
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.resume import order_from


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream order`."""
    progress = (
        read_progress(words.checkpoint) if words.checkpoint else Progress(step=0, g=0, state={})
    )
    start = progress.g if words.start is None else words.start
    if start < progress.g:
        raise ConfigError(
            f"expected --start of at least {progress.g}, where the checkpoint is, got {start}"
        )
    if start + words.count > LAST_DRAW:
        raise ConfigError(
            f"expected --start and --count to end at draw 2^62 at most, got {start} and {words.count}"
        )
    config = load(TrainConfig, words.config, words.overrides)
    for line in lines(config, progress, start, words.count, words.world_size):
        sys.stdout.write(json.dumps(line) + "\n")
    return 0


def lines(
    config: TrainConfig, progress: Progress, start: int, count: int, world_size: int
) -> Iterator[dict[str, int | str]]:
    """Yield a record for each of the draws [start, start + count) of a run that goes on from `progress`.

    Raises:
        SurgstreamError: The corpus cannot be read, is of another rate, or is not the checkpoint's while `resume.allow`
            does not say so; or its batches cannot be dealt to `world_size` ranks.
    """
    table = FrameTable.open(open_storage(config.data.corpus, config.data.s3), fps=config.data.fps)
    order = order_from(progress, config, table)
    batch = config.global_batch_size

    # A clip's rank depends on its whole step, so each step that is touched is dealt in full.
    for step, wanted in groupby(
        range(start, start + count), key=lambda g: (g - progress.g) // batch
    ):
        first = progress.g + step * batch
        draws = order.draws(first, batch)
        placement = place(
            draws,
            micro_batch_size=config.micro_batch_size,
            world_size=world_size,
            deal=config.data.order.deal,
        )
        names = [order.dataset_names[dataset] for dataset in draws.dataset.tolist()]
        locations = table.locate_all(names, draws.clip.tolist())

        for g in wanted:
            i = g - first
            yield {
                "g": g,
                "step": progress.step + step,
                "rank": int(placement.rank[i]),
                "dataset": locations[i].dataset,
                "video": locations[i].video,
                "anchor_frame": locations[i].frame,
            }
