"""How each store is reached, where not all are reached alike: the file that `SURGSTREAM_STORES` names."""

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from surgstream.configs.loading import load
from surgstream.shards.storage.base import S3Config

VARIABLE = "SURGSTREAM_STORES"

OTHERS = "s3://"
"""Stands for all buckets that are not named."""


@dataclass(frozen=True, kw_only=True)
class StoresConfig:
    """The file.

    Attributes:
        stores: How to reach a bucket, by its address `s3://BUCKET`; `s3://` is for those that are not named.
    """

    stores: dict[str, S3Config] = field(default_factory=dict)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        for address in self.stores:
            bucket = str(address).removeprefix(OTHERS)
            if not str(address).startswith(OTHERS) or "/" in bucket or "@" in bucket:
                yield f"stores: expected s3://BUCKET, or s3:// for all others, got {address!r}"


def reached(bucket: str, settings: S3Config | None) -> S3Config:
    """How to reach a bucket.

    Args:
        bucket: Its name.
        settings: What a recipe says. Whatever it changes from the default holds; the rest is the file's, where there is
            one, and what that leaves open is boto3's.

    Raises:
        ConfigError: There is no such file, or it is wrong.
    """
    path = os.environ.get(VARIABLE)
    stores = _load(path).stores if path else {}
    of_file = stores.get(f"{OTHERS}{bucket}") or stores.get(OTHERS) or S3Config()
    return settings.over(of_file) if settings else of_file


@functools.cache
def _load(path: str) -> StoresConfig:
    return load(StoresConfig, path)
