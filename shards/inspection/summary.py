"""The numbers of a packed corpus, by dataset and by specialty."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.records import PackedVideo, Shard


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a dataset holds, or all datasets of a specialty, or the corpus.

    Attributes:
        name: Of the dataset or specialty.
        specialty: Of the dataset; empty where there are several.
        procedure: The same.
        num_videos: Its videos.
        num_frames: Its frames, each of which is the anchor of one clip.
        num_parts: Uninterrupted runs of frames.
        hours: Of video that the frames stand for.
        median_seconds: Length of a video.
        share: Its frames among all of the corpus, 0 to 1: of how many draws it is without weights.
        num_short: Videos with fewer frames than a clip is asked for.
        num_bytes: Of its shards.
        sizes: Videos by the size of their frames, as `455x256`.
    """

    name: str
    specialty: str
    procedure: str
    num_videos: int
    num_frames: int
    num_parts: int
    hours: float
    median_seconds: float
    share: float
    num_short: int
    num_bytes: int
    sizes: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Summaries:
    """A corpus.

    Attributes:
        corpus: Its address.
        short_frames: Fewer frames than that make a video short.
        packing: The options and libraries that it was packed with.
        total: All of it.
        datasets: By name.
        specialties: By name.
    """

    corpus: str
    short_frames: int
    packing: dict[str, bool | str | int | float]
    total: Summary
    datasets: tuple[Summary, ...]
    specialties: tuple[Summary, ...]

    def text(self) -> str:
        """Two tables."""
        return f"{_table('dataset', (*self.datasets, self.total))}\n{_table('specialty', self.specialties)}"


def summarise(manifest: Manifest, uri: str, short_frames: int) -> Summaries:
    """Count what a manifest tells.

    Args:
        manifest: The corpus's.
        uri: The corpus's address.
        short_frames: Fewer frames than that make a video short.
    """
    total = sum(shard.num_frames for shard in manifest.shards)

    def grouped(key: Callable[[Shard], str]) -> tuple[Summary, ...]:
        names = sorted({key(shard) for shard in manifest.shards})
        return tuple(
            _summary(
                name,
                [shard for shard in manifest.shards if key(shard) == name],
                total,
                short_frames,
            )
            for name in names
        )

    return Summaries(
        corpus=uri,
        short_frames=short_frames,
        packing=manifest.packing,
        total=_summary("total", manifest.shards, total, short_frames),
        datasets=grouped(lambda shard: shard.dataset),
        specialties=grouped(lambda shard: shard.specialty),
    )


def _summary(name: str, shards: Sequence[Shard], total: int, short_frames: int) -> Summary:
    videos = [video for shard in shards for video in shard.videos]
    seconds = [video.num_frames / video.fps for video in videos]
    num_frames = sum(video.num_frames for video in videos)

    return Summary(
        name=name,
        specialty=_only(shard.specialty for shard in shards),
        procedure=_only(shard.procedure for shard in shards),
        num_videos=len(videos),
        num_frames=num_frames,
        num_parts=sum(len(video.parts) for video in videos),
        hours=sum(seconds) / 3600,
        median_seconds=statistics.median(seconds),
        share=num_frames / total,
        num_short=sum(video.num_frames < short_frames for video in videos),
        num_bytes=sum(shard.num_bytes for shard in shards),
        sizes=dict(Counter(_size(video) for video in videos).most_common()),
    )


def _only(values: Iterable[str]) -> str:
    found = set(values)
    return found.pop() if len(found) == 1 else ""


def _size(video: PackedVideo) -> str:
    return f"{video.width}x{video.height}"


def _table(title: str, summaries: Sequence[Summary]) -> str:
    width = max(len(title), *(len(summary.name) for summary in summaries))
    head = (
        f"{title:<{width}} {'videos':>8} {'short':>6} {'parts':>8} {'frames':>12} {'hours':>9} "
        f"{'median_s':>9} "
    )
    lines = [head + f"{'share':>7} {'MB':>11}  sizes"]
    for summary in summaries:
        sizes = ", ".join(f"{size} ({count})" for size, count in [*summary.sizes.items()][:3])
        more = len(summary.sizes) - 3
        lines.append(
            f"{summary.name:<{width}} {summary.num_videos:>8} {summary.num_short:>6} "
            f"{summary.num_parts:>8} {summary.num_frames:>12} {summary.hours:>9.2f} "
            f"{summary.median_seconds:>9.1f} {summary.share:>7.1%} "
            f"{summary.num_bytes / 1e6:>11.1f}  {sizes}{f' and {more} more' if more > 0 else ''}"
        )
    return "\n".join(lines) + "\n"
