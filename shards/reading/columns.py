"""Columns: the facts of a manifest that a frame table keeps, collected shard by shard in little memory."""

from array import array

from surgstream.shards.format.rates import frames_apart
from surgstream.shards.format.records import PackedVideo, Shard


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
        apart: Packed frames from one that is shown to the next.
        part_videos: Number of each part's video.
        part_firsts: Number in the video of its first frame.
        part_frames: Its frames.
    """

    def __init__(self) -> None:
        """Start with no shard."""
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
            self.apart.append(frames_apart(shard.dataset, video, fps, where=where))

    def _add_video(self, video: PackedVideo) -> None:
        for part in video.parts:
            self.part_videos.append(len(self.videos))
            self.part_firsts.append(part.first_frame)
            self.part_frames.append(part.num_frames)
        self.videos.append(video.id)
        self.widths.append(video.width)
        self.heights.append(video.height)
        self.fps.append(video.fps)
