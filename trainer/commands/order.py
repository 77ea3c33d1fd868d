"""`surgstream order`: the clip of each draw, and the rank that reads it."""

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import groupby

from surgstream.configs.errors import ConfigError
from surgstream.configs.ranges import LAST_DRAW
from surgstream.shards.order.sequence import place
from surgstream.trainer.clip_tables import training_clips
from surgstream.trainer.config import TrainConfig, load_recipe
from surgstream.trainer.engine.checkpoint_files import read_progress
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.resume import order_from


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream order`."""
    progress = Progress(step=0, clips_seen=0, state={})
    if words.checkpoint:
        progress = read_progress(words.checkpoint)

    start = progress.clips_seen if words.start is None else words.start
    if start < progress.clips_seen:
        raise ConfigError(
            f"expected --start of at least {progress.clips_seen}, where the checkpoint is, got {start}"
        )
    if start + words.count > LAST_DRAW:
        raise ConfigError(
            "expected --start and --count to end at draw 2^62 at most, "
            f"got {start} and {words.count}"
        )

    config = load_recipe(words.config, words.overrides)
    for line in lines(config, progress, start, words.count, words.world_size):
        sys.stdout.write(json.dumps(line) + "\n")
    return 0


def lines(
    config: TrainConfig, progress: Progress, start: int, count: int, world_size: int
) -> Iterator[dict[str, int | str]]:
    """Yield a record for each of the draws [start, start + count) of a run that goes on from `progress`.

    Raises:
        SurgstreamError: The corpus cannot be read, is of another rate, or is not the checkpoint's although
            `resume.allow` does not name it; or `world_size` ranks cannot share its batches evenly.
    """
    config, table = training_clips(config)
    order = order_from(progress, config, table)
    batch = config.global_batch_size

    # A clip's rank depends on its whole step, so all draws of a step are placed, also those that are not shown.
    by_step = groupby(range(start, start + count), key=lambda g: (g - progress.clips_seen) // batch)
    for step, wanted in by_step:
        first = progress.clips_seen + step * batch
        draws = order.draws(first, batch)
        placement = place(
            draws,
            micro_batch_size=config.micro_batch_size,
            world_size=world_size,
            micro_batches=config.data.order.micro_batches,
        )
        names = [order.dataset_names[dataset] for dataset in draws.dataset.tolist()]
        locations = table.locate_all(names, draws.clip.tolist())

        for g in wanted:
            i = g - first
            location = locations[i]
            yield {
                "g": g,
                "step": progress.step + step,
                "rank": int(placement.rank[i]),
                "dataset": location.dataset,
                "video": location.video,
                "anchor_frame": location.frame,
            }
