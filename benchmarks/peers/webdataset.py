"""webdataset: tars, one member a sample, read in sequence through a buffer that shuffles."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import boto3
import webdataset

from surgstream.benchmarks.peers.samples import Sample, as_tensor

SHARD_BYTES = 64 * 2**20
SHUFFLE_SAMPLES = 1000
BATCH = 32


def write(samples: Iterable[Sample], folder: Path) -> None:
    """Write shards of some 64 MiB."""
    with webdataset.ShardWriter(f"{folder}/%06d.tar", maxsize=SHARD_BYTES, verbose=0) as shards:
        for i, sample in enumerate(samples):
            shards.write({"__key__": f"{i:08}", "bin": sample})


def samples(place: str, cache: Path, workers: int) -> Iterator[Sample]:
    """Every sample once."""
    dataset = webdataset.WebDataset(_urls(place), shardshuffle=100, empty_check=False).shuffle(
        SHUFFLE_SAMPLES
    )
    if not workers:
        return (sample["bin"] for sample in dataset)
    loader = webdataset.WebLoader(
        dataset.map(_bytes).batched(BATCH, collation_fn=as_tensor), None, num_workers=workers
    )
    return (batch.numpy().data for batch in loader)


def _bytes(sample: dict[str, bytes]) -> bytes:
    return sample["bin"]


def _urls(place: str) -> list[str]:
    """The shards: files, or commands that fetch them by signed addresses, as the command line of S3 would."""
    if not place.startswith("s3://"):
        return sorted(map(str, Path(place).glob("*.tar")))
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    client = boto3.client("s3")
    keys = [
        entry["Key"]
        for entry in client.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/")["Contents"]
    ]
    signed = (
        client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
        for key in keys
    )
    return [f"pipe:curl --silent --fail '{url}'" for url in signed]
