"""The cost, on every rank, of computing which clips a step consists of."""

from functools import partial
from pathlib import Path

from surgstream.benchmarks.support.harness import Case
from surgstream.shards.order.sequence import DatasetSize, Order, OrderConfig, place

NUM_CLIPS = (2_000_000, 700_000, 400_000, 250_000, 100_000, 60_000, 30_000, 10_000, 2_777)
SIZES = [
    DatasetSize(f"dataset{i}", f"specialty{i % 5}", count) for i, count in enumerate(NUM_CLIPS)
]
"""Sizes like those of SurgVISTA's corpus: nine datasets of very different sizes, 3,552,777 clips."""

WORLD_SIZE = 64
MICRO_BATCH_SIZE = 32


def cases(folder: Path) -> list[Case]:
    """Draws and placement of one step, for nine datasets of 3.55 million clips in all."""
    order = Order.create(SIZES, 0, OrderConfig())
    return [
        Case(f"a step of {size:,} draws", "draws", partial(_steps, order, size))
        for size in (2_048, 8_192, 32_768)
    ]


def _steps(order: Order, size: int, num_steps: int = 20) -> int:
    for step in range(num_steps):
        draws = order.draws(10**6 + step * size, size)
        place(draws, micro_batch_size=MICRO_BATCH_SIZE, world_size=WORLD_SIZE)
    return num_steps * size
