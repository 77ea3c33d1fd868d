"""The outcome of packing: the corpus, what is not in it, and what was found, in lines for a terminal."""

from dataclasses import dataclass

from surgstream.configs.columns import columns
from surgstream.shards.corpus.sources import Source
from surgstream.shards.format.layers import LayerManifest
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.quarantine import Quarantined
from surgstream.shards.format.records import VideoReport
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.sources import Film, find_film

_HEADING = ("dataset", "videos", "frames", "hours", "MB", "quarantined", "lost_s", "dropped_s")


@dataclass(frozen=True)
class Packed:
    """A finished packing, which read `new_seconds` of video in `took_seconds`."""

    manifest: Manifest
    quarantine: tuple[Quarantined, ...]
    readings: tuple[VideoReport, ...]
    sources: tuple[Source, ...] = ()
    layers: tuple[LayerManifest, ...] = ()
    new_seconds: float = 0.0
    took_seconds: float = 0.0

    def table(self) -> str:
        """Format a table with a line for each dataset and one for their sum."""
        names = {shard.dataset for shard in self.manifest.shards}
        names |= {video.dataset for video in self.quarantine}
        names |= {reading.dataset for reading in self.readings}

        rows: list[tuple[str, ...]] = [_HEADING]
        rows += [self._row(name, {name}) for name in sorted(names)]
        if len(names) > 1:
            rows.append(self._row("total", names))
        return "\n".join(columns(rows)) + "\n"

    def _row(self, title: str, datasets: set[str]) -> tuple[str, ...]:
        shards = [shard for shard in self.manifest.shards if shard.dataset in datasets]
        readings = [reading for reading in self.readings if reading.dataset in datasets]
        num_videos = sum(len(shard.videos) for shard in shards)
        num_frames = sum(shard.num_frames for shard in shards)
        hours = sum(shard.seconds for shard in shards) / 3600
        megabytes = sum(shard.num_bytes for shard in shards) / 1e6
        num_quarantined = sum(video.dataset in datasets for video in self.quarantine)
        lost_seconds = sum(reading.lost_seconds for reading in readings)
        dropped_seconds = sum(reading.dropped_seconds for reading in readings)

        return (
            title,
            f"{num_videos}",
            f"{num_frames}",
            f"{hours:.2f}",
            f"{megabytes:.1f}",
            f"{num_quarantined}",
            f"{lost_seconds:.1f}",
            f"{dropped_seconds:.1f}",
        )

    def found(self) -> str:
        """Format a line for each kind of finding: the videos that have it, its length in all, and the dropped share."""
        kinds = set()
        for reading in self.readings:
            kinds |= {finding.kind for finding in reading.findings}
        return "".join(self._found(kind) for kind in sorted(kinds))

    def _found(self, kind: str) -> str:
        lengths = [reading.found_seconds(kind) for reading in self.readings]
        num_videos = sum(found > 0 for found, _ in lengths)
        found = f"{sum(found for found, _ in lengths):,.1f} s"
        out = f"{sum(out for _, out in lengths):,.1f} s"

        # Compared as printed, so that a rounding error does not pass for a rest.
        dropped = {found: "all", "0.0 s": "none"}.get(out, out)
        videos = f"{num_videos:,} video{'s' * (num_videos != 1)}"
        return f"found {kind}: {videos}, {found}, {dropped} dropped\n"

    def left_out(self) -> str:
        """Format a line about videos that are too short; empty if there are none."""
        short = [reading for reading in self.readings if reading.too_short]
        if not short:
            return ""

        seconds = sum(reading.dropped_seconds for reading in short)
        names = sorted({reading.dataset for reading in short})
        videos = f"{len(short):,} video{'s' * (len(short) != 1)} of {', '.join(names)}"
        return f"left out, shorter than min_seconds: {videos}, {seconds:,.1f} s in all\n"

    def layered(self) -> str:
        """Format a line for each layer."""
        return "".join(f"{layer.told()}\n" for layer in self.layers)

    def speed(self) -> str:
        """Format a line about the speed."""
        if not self.new_seconds:
            return "all was packed before\n"

        rate = self.new_seconds / self.took_seconds
        return (
            f"packed {self.new_seconds / 3600:,.2f} hours of video in {self.took_seconds:,.0f} s: "
            f"{rate / 3600:.3g} hours a second, {rate:,.0f} times real time\n"
        )

    def films(self) -> dict[tuple[str, str], Film]:
        """Find the sources, not yet opened, by dataset and id."""
        stores = Stores()
        return {
            (each.dataset, each.id): find_film(
                each.location,
                stores,
                image_fps=each.image_fps,
                images=each.images,
                still=each.still,
            )
            for each in self.sources
        }
