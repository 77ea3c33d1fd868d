"""What packing came to: the corpus, what is not in it, and what was found, in lines for a terminal."""

from dataclasses import dataclass

from surgstream.shards.corpus.sources import Source
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.quarantine import Quarantined
from surgstream.shards.format.records import Reading
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.sources import Film, find_film


@dataclass(frozen=True)
class Packed:
    """A finished packing; `new_seconds` of video are what it had to read, and `took_seconds`."""

    manifest: Manifest
    quarantine: tuple[Quarantined, ...]
    readings: tuple[Reading, ...]
    sources: tuple[Source, ...] = ()
    new_seconds: float = 0.0
    took_seconds: float = 0.0

    def table(self) -> str:
        """One line a dataset, then their sum."""
        packed = {shard.dataset for shard in self.manifest.shards}
        others = {video.dataset for video in self.quarantine} | {
            reading.dataset for reading in self.readings
        }
        names = sorted(packed | others)
        width = max(len(name) for name in (*names, "dataset"))
        columns = f"{'videos':>8} {'frames':>12} {'hours':>9} {'MB':>12} {'quarantined':>12}"
        columns += f" {'lost_s':>9} {'dropped_s':>10}"
        lines = [f"{'dataset':<{width}} {columns}"]
        lines += [self._line(name, width, {name}) for name in names]
        lines += [self._line("total", width, set(names))] if len(names) > 1 else []
        return "\n".join(lines) + "\n"

    def found(self) -> str:
        """A line for each kind that was found in the videos: in how many, how long in all, and how much is dropped."""
        lines = []
        for kind in sorted(
            {finding.kind for reading in self.readings for finding in reading.findings}
        ):
            counts = [reading.found_seconds(kind) for reading in self.readings]
            videos = sum(found > 0 for found, _ in counts)
            found, out = (f"{sum(column):,.1f} s" for column in zip(*counts, strict=True))
            # Compared as printed, so that a rounding error does not pass for a rest.
            dropped = {found: "all", "0.0 s": "none"}.get(out, out)
            lines.append(
                f"found {kind}: {videos:,} video{'s' * (videos != 1)}, {found}, {dropped} dropped\n"
            )
        return "".join(lines)

    def left_out(self) -> str:
        """A line about videos that are too short, if there are any."""
        seconds = [reading.dropped_seconds for reading in self.readings if reading.too_short]
        if not seconds:
            return ""
        names = sorted({reading.dataset for reading in self.readings if reading.too_short})
        return (
            f"left out, shorter than min_seconds: {len(seconds):,} "
            f"video{'s' * (len(seconds) != 1)} of {', '.join(names)}, {sum(seconds):,.1f} s in "
            "all\n"
        )

    def speed(self) -> str:
        """How fast it went, in a line."""
        if not self.new_seconds:
            return "all was packed before\n"
        rate = self.new_seconds / self.took_seconds
        return (
            f"packed {self.new_seconds / 3600:,.2f} hours of video in {self.took_seconds:,.0f} s: "
            f"{rate / 3600:.3g} hours a second, {rate:,.0f} times real time\n"
        )

    def films(self) -> dict[tuple[str, str], Film]:
        """The sources, not yet opened, by dataset and id."""
        stores = Stores()
        return {
            (each.dataset, each.id): find_film(each.location, stores, image_fps=each.image_fps)
            for each in self.sources
        }

    def _line(self, title: str, width: int, datasets: set[str]) -> str:
        shards = [shard for shard in self.manifest.shards if shard.dataset in datasets]
        videos = [video for shard in shards for video in shard.videos]
        frames = sum(video.num_frames for video in videos)
        hours = sum(video.num_frames / video.fps for video in videos) / 3600
        megabytes = sum(shard.num_bytes for shard in shards) / 1e6
        quarantined = sum(video.dataset in datasets for video in self.quarantine)
        readings = [reading for reading in self.readings if reading.dataset in datasets]
        lost = sum(reading.lost_seconds for reading in readings)
        dropped = sum(reading.dropped_seconds for reading in readings)
        counts = f"{len(videos):>8} {frames:>12} {hours:>9.2f} {megabytes:>12.1f} {quarantined:>12}"
        return f"{title:<{width}} {counts} {lost:>9.1f} {dropped:>10.1f}"
