"""The numbers of a packed corpus, by dataset and by specialty."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from surgstream.configs.columns import columns
from surgstream.shards.format.layers import LayerManifest
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.records import PackedVideo, Shard

_HEADING = ("videos", "short", "parts", "frames", "hours", "median_s", "share", "MB")


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The numbers of a dataset, of all datasets of a specialty, or of the corpus.

    Attributes:
        name: Name of the dataset or specialty.
        specialty: Specialty of the dataset; empty where there are several.
        procedure: Procedure of the dataset; empty where there are several.
        num_videos: Number of videos.
        num_frames: Number of frames, each of which is the anchor of one clip.
        num_parts: Number of uninterrupted runs of frames.
        hours: Hours of video that the frames stand for; still images stand for none.
        median_seconds: Median length of a video; 0 where all are still images.
        share: Share of the corpus's frames, 0 to 1: its share of the draws if datasets have no weights.
        num_short: Number of videos with fewer frames than a clip needs; no still image is too short.
        num_bytes: Bytes of its shards.
        sizes: Number of videos by the size of their frames, such as `455x256`.
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
class LayerSummary:
    """The numbers of a layer.

    Attributes:
        name: Its name.
        values: What its pictures hold, `classes` or `depth`.
        num_pictures: Frames that have a picture, by dataset.
        told: All of it in a line.
    """

    name: str
    values: str
    num_pictures: dict[str, int]
    told: str


@dataclass(frozen=True, kw_only=True)
class Summaries:
    """The numbers of a corpus.

    Attributes:
        corpus: Its address.
        short_frames: A video with fewer frames is short.
        packing: The options and libraries that it was packed with.
        total: The whole corpus.
        datasets: The datasets, by name.
        specialties: The specialties, by name.
        layers: The layers of the corpus.
    """

    corpus: str
    short_frames: int
    packing: dict[str, bool | str | int | float]
    total: Summary
    datasets: tuple[Summary, ...]
    specialties: tuple[Summary, ...]
    layers: tuple[LayerSummary, ...] = ()

    def text(self) -> str:
        """Format two tables, and a line for each layer."""
        datasets = _table("dataset", (*self.datasets, self.total))
        layers = "".join(f"{layer.told}\n" for layer in self.layers)
        return f"{datasets}\n{_table('specialty', self.specialties)}" + f"\n{layers}" * bool(layers)


def summarise(
    manifest: Manifest, uri: str, short_frames: int, layers: Sequence[LayerManifest] = ()
) -> Summaries:
    """Count the videos and frames in a manifest, and the pictures of its layers.

    Args:
        manifest: The corpus's manifest.
        uri: The corpus's address.
        short_frames: A video with fewer frames is short.
        layers: The manifests of its layers.
    """
    total = sum(shard.num_frames for shard in manifest.shards)

    def grouped(key: Callable[[Shard], str]) -> tuple[Summary, ...]:
        shards = defaultdict(list)
        for shard in manifest.shards:
            shards[key(shard)].append(shard)
        return tuple(_summary(name, shards[name], total, short_frames) for name in sorted(shards))

    return Summaries(
        corpus=uri,
        short_frames=short_frames,
        packing=manifest.packing,
        total=_summary("total", manifest.shards, total, short_frames),
        datasets=grouped(lambda shard: shard.dataset),
        specialties=grouped(lambda shard: shard.specialty),
        layers=tuple(map(_layer_summary, layers)),
    )


def _layer_summary(layer: LayerManifest) -> LayerSummary:
    num_pictures: Counter[str] = Counter()
    for shard in layer.shards:
        num_pictures[shard.shard.partition("/")[0]] += shard.num_pictures
    return LayerSummary(
        name=layer.layer,
        values=layer.values,
        num_pictures=dict(sorted(num_pictures.items())),
        told=layer.told(),
    )


def _summary(name: str, shards: Sequence[Shard], total: int, short_frames: int) -> Summary:
    videos: list[PackedVideo] = []
    for shard in shards:
        videos += shard.videos
    # Still images have no length.
    films = [video for shard in shards if not shard.stills for video in shard.videos]
    seconds = [video.num_frames / video.fps for video in films]
    num_frames = sum(video.num_frames for video in videos)
    sizes = Counter(f"{video.width}x{video.height}" for video in videos)

    return Summary(
        name=name,
        specialty=_only(shard.specialty for shard in shards),
        procedure=_only(shard.procedure for shard in shards),
        num_videos=len(videos),
        num_frames=num_frames,
        num_parts=sum(len(video.parts) for video in videos),
        hours=sum(seconds) / 3600,
        median_seconds=statistics.median(seconds) if seconds else 0.0,
        share=num_frames / total,
        num_short=sum(video.num_frames < short_frames for video in films),
        num_bytes=sum(shard.num_bytes for shard in shards),
        sizes=dict(sizes.most_common()),
    )


def _only(values: Iterable[str]) -> str:
    """Return the one value of all; an empty string where they differ."""
    found = set(values)
    return found.pop() if len(found) == 1 else ""


def _table(title: str, summaries: Sequence[Summary]) -> str:
    rows = [(title, *_HEADING)]
    for summary in summaries:
        rows.append(
            (
                summary.name,
                f"{summary.num_videos}",
                f"{summary.num_short}",
                f"{summary.num_parts}",
                f"{summary.num_frames}",
                f"{summary.hours:.2f}",
                f"{summary.median_seconds:.1f}",
                f"{summary.share:.1%}",
                f"{summary.num_bytes / 1e6:.1f}",
            )
        )

    sizes = ["sizes", *map(_sizes, summaries)]
    lines = [f"{line}  {words}" for line, words in zip(columns(rows), sizes, strict=True)]
    return "\n".join(lines) + "\n"


def _sizes(summary: Summary) -> str:
    """List the three most frequent sizes of frames."""
    shown = [f"{size} ({count})" for size, count in summary.sizes.items()][:3]
    more = len(summary.sizes) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
