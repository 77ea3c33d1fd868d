"""`surgstream order`: which clip is drawn when, and which rank reads it."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from configs.loading import load
from shards.order import place
from shards.storage import open_storage
from shards.table import FrameTable
from trainer.config import TrainConfig
from trainer.engine.saved import read_progress
from trainer.engine.schedules import Progress
from trainer.resume import order_from

LAST_DRAW = 2**62
"""Draws are counted in 63 bits; this leaves room for the rest of a step."""

HELP = """\
Print the order of a recipe, one JSON line a draw: g, step, rank, dataset, video, anchor_frame.

  surgstream order configs/pretrain/surgvista_tiny.yaml data.corpus=demo/shards --start 0 --count 64
  surgstream order configs/pretrain/surgvista_vitb.yaml --start 2048000 --count 2048 --world-size 64

The order is a pure function of corpus, seed and weights: nothing is trained or decoded, and any draw of a run, past or
to come, is found at once. A run that changed its batch, corpus or weights at a resume follows another order from there
on: give the checkpoint that it was resumed from, and the recipe of that time.

  surgstream order CONFIG data.order.weights=balanced resume.allow=[weights] --checkpoint RUN/checkpoints/step_00001000
"""


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="surgstream order", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="the recipe, a YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="values that replace the recipe's")
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="where the run goes on from (default: none)")
    parser.add_argument("--start", type=int, metavar="G", help="first draw (default: the checkpoint's, or 0)")
    parser.add_argument("--count", type=int, default=10, metavar="N", help="how many draws (default: 10)")
    parser.add_argument("--world-size", type=int, default=1, metavar="W", help="ranks to deal to (default: 1)")
    words = parser.parse_intermixed_args(argv)
    progress = read_progress(words.checkpoint) if words.checkpoint else Progress(step=0, g=0, state={})
    start = progress.g if words.start is None else words.start
    if start < progress.g or words.count < 0 or words.world_size < 1:
        parser.error(f"expected --start of at least {progress.g}, --count of at least 0, --world-size of at least 1")
    if start + words.count > LAST_DRAW:
        parser.error(f"expected --start and --count to end at draw 2^62 at most, got {start} and {words.count}")
    config = load(TrainConfig, words.config, words.overrides)
    for line in lines(config, progress, start, words.count, words.world_size):
        sys.stdout.write(json.dumps(line) + "\n")
    return 0


def lines(
    config: TrainConfig, progress: Progress, start: int, count: int, world_size: int
) -> Iterator[dict[str, int | str]]:
    """Yield a record for each of the draws [start, start + count) of a run that goes on from `progress`.

    Raises:
        SurgstreamError: The corpus cannot be read, its batches cannot be dealt to `world_size` ranks, or it is not the
            checkpoint's and `resume.allow` does not say so.
    """
    table = FrameTable.open(open_storage(config.data.corpus, config.data.s3))
    order = order_from(progress, config, table)
    batch = config.global_batch_size
    for step, wanted in groupby(range(start, start + count), key=lambda g: (g - progress.g) // batch):
        first = progress.g + step * batch
        draws = order.draws(first, batch)
        placement = place(
            draws, micro_batch_size=config.micro_batch_size, world_size=world_size, deal=config.data.order.deal
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
