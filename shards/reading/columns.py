"""Columns: the facts of a manifest that a frame table keeps, collected shard by shard in little memory."""

import hashlib
from array import array
from collections.abc import Collection, Iterable

from surgstream.configs.errors import ConfigError
from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.format.rates import frames_apart
from surgstream.shards.format.records import PackedVideo, Shard

Chosen = Collection[str] | None
"""Names of datasets; None is all that a corpus has."""


class Columns:
    """Facts about the shards, videos and parts of a corpus, in the order of its manifest.

    Numbers take 8 bytes each; a list would hold an object for each.

    Attributes:
        specialties: The specialty of each dataset, by name.
        first_shards: Number of each dataset's first shard.
        first_parts: Number of each dataset's first part.
        shards: The name of each shard.
        shard_bytes: Its length.
        shard_frames: Its frames.
        videos: The id of each video.
        widths: Width of its frames in pixels.
        heights: Height of its frames in pixels.
        fps: Its packed frames a second.
        apart: Packed frames from one that is shown to the next; 0 for still images.
        part_videos: Number of each part's video.
        part_firsts: Number in the video of its first frame.
        part_frames: Its frames.
        left_out: Datasets of the manifest that are not among these.
    """

    def __init__(self) -> None:
        """Start with no shard."""
        self.left_out: set[str] = set()
        self.specialties: dict[str, str] = {}
        self.first_shards: list[int] = []
        self.first_parts: list[int] = []

        self.shards: list[str] = []
        self.shard_bytes = array("q")
        self.shard_frames = array("q")

        self.videos: list[str] = []
        self.widths = array("q")
        self.heights = array("q")
        self.fps = array("d")
        self.apart = array("q")

        self.part_videos = array("q")
        self.part_firsts = array("q")
        self.part_frames = array("q")

    @staticmethod
    def collect(
        shards: Iterable[Shard], fps: float | None, datasets: Chosen, *, where: str
    ) -> "Columns":
        """Take the shards of some datasets.

        Args:
            shards: All of the manifest, in its order.
            fps: See `add`.
            datasets: Those to take.
            where: The name of the corpus in messages.

        Raises:
            ConfigError: The manifest has no dataset of a name; or as `add`.
        """
        columns = Columns()
        for shard in shards:
            if datasets is None or shard.dataset in datasets:
                columns.add(shard, fps, where=where)
            else:
                columns.left_out.add(shard.dataset)

        known = sorted({*columns.specialties, *columns.left_out})
        for name in datasets or ():
            if name not in columns.specialties:
                raise ConfigError(
                    f"{where}: data.datasets: expected some of its datasets {', '.join(known)}, got "
                    f"{name!r}{did_you_mean(name, known)}"
                )
        return columns

    def identity(self, manifest: str) -> str:
        """What decides the numbers of clips, in hexadecimal.

        Args:
            manifest: SHA-256 of the manifest.

        Returns:
            The same where no dataset is left out, otherwise the SHA-256 of it and of the names of those that are not.
        """
        if not self.left_out:
            return manifest
        names = " ".join(sorted(self.specialties))
        return hashlib.sha256(f"{manifest} {names}".encode()).hexdigest()

    def add(self, shard: Shard, fps: float | None, *, where: str) -> None:
        """Add the next shard.

        Args:
            shard: The shard; those of a dataset follow each other.
            fps: Frames a second that clips are cut at; None takes every packed frame.
            where: The name of the corpus in messages.

        Raises:
            ConfigError: A video was packed at another rate, and at no whole multiple of it.
        """
        if shard.dataset not in self.specialties:
            self.specialties[shard.dataset] = shard.specialty
            self.first_shards.append(len(self.shards))
            self.first_parts.append(len(self.part_videos))

        self.shards.append(shard.name)
        self.shard_bytes.append(shard.num_bytes)
        self.shard_frames.append(shard.num_frames)
        for video in shard.videos:
            self._add_video(video)
            self.apart.append(frames_apart(shard, video, fps, where=where))

    def _add_video(self, video: PackedVideo) -> None:
        for part in video.parts:
            self.part_videos.append(len(self.videos))
            self.part_firsts.append(part.first_frame)
            self.part_frames.append(part.num_frames)
        self.videos.append(video.id)
        self.widths.append(video.width)
        self.heights.append(video.height)
        self.fps.append(video.fps)
