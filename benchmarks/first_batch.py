"""How long a trainer waits for its first batch, from opening the corpus on, wherever in the run it starts."""

from functools import partial
from pathlib import Path

from benchmarks.harness import Case
from benchmarks.material import IMAGE_SIZE, NUM_FRAMES, STRIDE, long_corpus
from shards.order import Order, OrderConfig
from shards.storage import open_storage
from shards.table import FrameTable
from trainer.data.config import DataConfig
from trainer.data.source import ClipSource
from trainer.distributed import Topology

BATCH = 32
SHARES = (0.01, 0.50, 0.99)


def cases(folder: Path, store: str) -> list[Case]:
    """One start each, at several places of an epoch."""
    long_corpus(folder, open_storage(store))
    return [Case(f"first batch at {share:.0%} of an epoch", "starts", partial(start, store, share)) for share in SHARES]


def start(store: str, share: float) -> int:
    """Open the corpus, and wait for the first decoded batch."""
    corpus = FrameTable.open(open_storage(store))
    config = OrderConfig()
    order = Order.create(corpus.sizes(), 0, config)
    num_clips = sum(size.num_clips for size in corpus.sizes())
    source = ClipSource(
        DataConfig(corpus=store, stride=STRIDE, order=config),
        corpus,
        seed=0,
        num_frames=NUM_FRAMES,
        image_size=IMAGE_SIZE,
        micro_batch_size=BATCH,
        topology=Topology(rank=0, local_rank=0, world_size=1),
        crop=None,
    )
    with source.open(order, global_batch_size=BATCH, start=int(share * num_clips) // BATCH * BATCH) as batches:
        return len(next(batches).clips) // BATCH
