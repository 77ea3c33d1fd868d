"""Errors of shards, from packing to reading."""

from surgstream.configs.errors import SurgstreamError


class ShardError(SurgstreamError):
    """The base of all errors of shards, their manifest and the storage under them."""


class CorruptSampleError(ShardError):
    """The bytes of a frame or an index are not what was packed."""


class ManifestError(ShardError):
    """A corpus manifest is missing, malformed, empty, or does not fit the files of its corpus."""


class StorageError(ShardError):
    """A store could not be read or written."""

    comes_again = False


class UnusableFileError(StorageError):
    """A file or a folder cannot be used though its store works: access is denied, or it is of another kind."""


class ReplacedError(StorageError):
    """A file is no longer the one that was first read from."""


class OwnedError(StorageError):
    """Another process writes to a store."""


class VideoError(ShardError):
    """A source video cannot be packed; the message is the reason that goes to `quarantine.jsonl`.

    Attributes:
        nameless: The reason without names of files, for videos whose names must not be told.
    """

    def __init__(self, reason: str, nameless: str | None = None) -> None:
        super().__init__(reason)
        self.nameless = nameless or reason


class LayerError(ShardError):
    """The pictures of a layer are not such as a layer has: of another size or kind than expected, or of other times."""


class LabelError(ShardError):
    """Labels are missing or malformed, or a task does not know what they say."""


class LeakError(ShardError):
    """A training corpus shows held-out material."""


class ReleaseError(ShardError):
    """The label files of a public release are damaged, missing, or not those that were published."""
