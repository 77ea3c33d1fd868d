"""A summary of a corpus: what is in it, for those who read of a model that has seen it and do not have it."""

from dataclasses import dataclass

from surgstream.shards.format.first_sample import licence_in
from surgstream.shards.reading.frame_table import FrameTable


@dataclass(frozen=True, kw_only=True)
class DatasetSummary:
    """A dataset.

    Attributes:
        name: Its name.
        specialty: Its specialty.
        videos: How many of its videos are shown.
        hours: What is shown of them; still images have none.
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

        first = next(table.rows(size.name, 0, 1))
        datasets.append(
            DatasetSummary(
                name=size.name,
                specialty=size.specialty,
                videos=len(videos),
                hours=0.0 if size.stills else seconds / 3600,
                licence=licence_in(table.storage, first.shard),
            )
        )
    return CorpusSummary(datasets=tuple(datasets))
