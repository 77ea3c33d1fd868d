"""The first sample of a shard, which says of its dataset what the manifest does not: the licence."""

import logging
import tarfile

from surgstream.shards.errors import ManifestError, ShardError
from surgstream.shards.format.checksummed import load_checksummed
from surgstream.shards.format.names import MAX_LABELS
from surgstream.shards.storage.stores import Storage, read_range

log = logging.getLogger(__name__)

_BLOCK = tarfile.BLOCKSIZE


def licence_in(storage: Storage, shard: str) -> str | None:
    """The licence that the first sample of a shard has; None, with a warning, where it cannot be read.

    Args:
        storage: The corpus.
        shard: The name of the shard.
    """
    where = f"{storage.uri}: {shard}"
    try:
        header = read_range(storage, shard, 0, _BLOCK)
        num_bytes = _content_bytes(header, where)
        content = read_range(storage, shard, _BLOCK, _BLOCK + num_bytes)
        licence = load_checksummed(content, where=where).get("licence")
    except ShardError as error:
        dataset = shard.partition("/")[0]
        log.warning("the licence of %s cannot be told: %s", dataset, error)
        return None
    return licence if isinstance(licence, str) else None


def _content_bytes(header: bytes, where: str) -> int:
    """The length of the first member of a tar."""
    try:
        num_bytes = tarfile.TarInfo.frombuf(header, "ascii", "strict").size
    except (tarfile.HeaderError, UnicodeError):
        num_bytes = 0
    if not 0 < num_bytes <= MAX_LABELS:
        raise ManifestError(
            f"{where}: expected the description of a segment; run `surgstream verify`"
        )
    return num_bytes
