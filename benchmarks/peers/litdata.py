"""litData: chunks of bytes, mapped into memory; from S3 they are downloaded to a cache first."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import litdata
from litdata.streaming import downloader
from litdata.streaming.cache import Cache

from surgstream.benchmarks.peers.samples import Sample, as_tensor

CHUNK_BYTES = "64MB"
BATCH = 32

downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = (
    True  # it refuses endpoints without TLS, and has no setting for it
)


def write(samples: Iterable[Sample], folder: Path) -> None:
    """Write chunks of 64 MB."""
    cache = Cache(str(folder), chunk_bytes=CHUNK_BYTES)
    for i, sample in enumerate(samples):
        cache[i] = sample
    cache.done()
    cache.merge()


def samples(place: str, cache: Path, workers: int) -> Iterator[Sample]:
    """Every sample once."""
    dataset = litdata.StreamingDataset(place, cache_dir=str(cache), shuffle=True)
    if not workers:
        return iter(dataset)
    loader = litdata.StreamingDataLoader(
        dataset, batch_size=BATCH, num_workers=workers, collate_fn=as_tensor
    )
    return (batch.numpy().data for batch in loader)
