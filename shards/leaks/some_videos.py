"""Some of the videos of a packed corpus."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from surgstream.shards.format.manifest import Manifest

Chosen = Callable[[str, str], bool]
"""Whether a video is meant, by its dataset and its id."""


@dataclass(frozen=True)
class SomeVideos:
    """Some videos of a packed corpus.

    Attributes:
        uri: The address of the corpus.
        manifest: Its manifest, with these videos alone.
    """

    uri: str
    manifest: Manifest

    @staticmethod
    def of(uri: str, manifest: Manifest, chosen: Chosen) -> "SomeVideos":
        """The videos of a corpus that are meant."""
        shards = []
        for shard in manifest.shards:
            videos = tuple(video for video in shard.videos if chosen(shard.dataset, video.id))
            if videos:
                shards.append(replace(shard, videos=videos))
        return SomeVideos(uri, replace(manifest, shards=tuple(shards)))

    @property
    def names(self) -> set[tuple[str, str]]:
        """Dataset and id of each."""
        return {
            (shard.dataset, video.id) for shard in self.manifest.shards for video in shard.videos
        }

    @property
    def num_frames(self) -> int:
        """Their frames."""
        return sum(shard.num_frames for shard in self.manifest.shards)
