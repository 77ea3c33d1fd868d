"""A summary of a corpus: what is in it, for those who read of a model that has seen it and do not have it."""

import logging
import tarfile
from dataclasses import dataclass

from surgstream.shards.errors import ManifestError, ShardError
from surgstream.shards.format.checksummed import load_checksummed
from surgstream.shards.format.names import MAX_LABELS
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import read_range

log = logging.getLogger(__name__)

_BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True, kw_only=True)
class DatasetSummary:
    """A dataset.

    Attributes:
        name: Its name.
        specialty: Its specialty.
        videos: How many of its videos are shown.
        hours: What is shown of them.
        licence: Its licence, as the first sample has it; None where that says none.
    """

    name: str
    specialty: str
    videos: int
    hours: float
    licence: str | None


@dataclass(frozen=True, kw_only=True)
class CorpusSummary:
    """The datasets of a corpus, sorted by name. It names no video, no file and no place."""

    datasets: tuple[DatasetSummary, ...]

    @property
    def videos(self) -> int:
        """The videos of all datasets."""
        return sum(dataset.videos for dataset in self.datasets)

    @property
    def hours(self) -> float:
        """The hours of all datasets."""
        return sum(dataset.hours for dataset in self.datasets)


def summarise(table: FrameTable) -> CorpusSummary:
    """Summarise what a table shows of a corpus; reads the first sample of each dataset."""
    datasets = []
    for size in table.sizes():
        videos = set[str]()
        seconds = 0.0
        for part in table.parts(size.name):
            if part.frames:
                videos.add(part.video)
                seconds += len(part.frames) * part.frames.step / part.fps

        datasets.append(
            DatasetSummary(
                name=size.name,
                specialty=size.specialty,
                videos=len(videos),
                hours=seconds / 3600,
                licence=_licence(table, size.name),
            )
        )
    return CorpusSummary(datasets=tuple(datasets))


def _licence(table: FrameTable, dataset: str) -> str | None:
    """The licence in the JSON of a dataset's first sample; None, with a warning, where it cannot be read."""
    first = next(table.rows(dataset, 0, 1))
    where = f"{table.storage.uri}: {first.shard}"
    try:
        header = read_range(table.storage, first.shard, 0, _BLOCK)
        num_bytes = _content_bytes(header, where)
        content = read_range(table.storage, first.shard, _BLOCK, _BLOCK + num_bytes)
        licence = load_checksummed(content, where=where).get("licence")
    except ShardError as error:
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
