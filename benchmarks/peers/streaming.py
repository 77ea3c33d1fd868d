"""MosaicML Streaming: MDS shards; from S3 they are downloaded to a folder first."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import streaming
from streaming.base.util import clean_stale_shared_memory

from surgstream.benchmarks.peers.samples import Sample, as_tensor

BATCH = 32


def write(samples: Iterable[Sample], folder: Path) -> None:
    """Write shards of 64 MiB, its default."""
    with streaming.MDSWriter(out=str(folder), columns={"sample": "bytes"}) as shards:
        for sample in samples:
            shards.write({"sample": sample})


def samples(place: str, cache: Path, workers: int) -> Iterator[Sample]:
    """Every sample once."""
    clean_stale_shared_memory()
    where = (
        {"remote": place, "local": str(cache)} if place.startswith("s3://") else {"local": place}
    )
    dataset = streaming.StreamingDataset(**where, shuffle=True, batch_size=BATCH)
    if not workers:
        return (sample["sample"] for sample in dataset)
    loader = streaming.StreamingDataLoader(
        dataset, batch_size=BATCH, num_workers=workers, collate_fn=_collate
    )
    return (batch.numpy().data for batch in loader)


def _collate(batch: list[dict[str, bytes]]) -> object:
    return as_tensor([sample["sample"] for sample in batch])
