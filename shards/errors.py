"""What can go wrong with shards, from packing to reading."""

from configs.errors import SurgstreamError


class ShardError(SurgstreamError):
    """Anything wrong with shards, their manifest or the storage under them."""


class CorruptSampleError(ShardError):
    """The bytes of a frame or an index are not what was packed."""


class ManifestError(ShardError):
    """A corpus manifest is missing, malformed, empty, or does not fit what lies beside it."""


class StorageError(ShardError):
    """A store could not be read or written."""

    comes_again = False


class VideoError(ShardError):
    """A source video cannot be packed; the message is the reason that goes to `quarantine.jsonl`."""


class LeakError(ShardError):
    """A training corpus shows what is held out."""
