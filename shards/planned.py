"""What a plan says of each shard and video, and of what cannot be packed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from configs.loading import to_tree
from shards.corpus import PackConfig
from shards.review import Decision
from shards.schema import FORMAT_VERSION, is_plain_id, is_shard_of
from shards.sealed import digest


@dataclass(frozen=True, kw_only=True)
class PlannedVideo:
    """A video of a planned shard. `version` changes when its file, or a label file, changes; `review` is about it."""

    id: str
    location: str
    version: str
    labels: dict[str, str]
    review: tuple[Decision, ...] = ()
    predicted_frames: int
    predicted_bytes: int

    def problems(self) -> Iterator[str]:
        """What is wrong with the values."""
        if not is_plain_id(self.id):
            yield f"id: expected 1 to 80 characters of A-Z a-z 0-9 _ -, got {self.id!r}"

    @property
    def source(self) -> str:
        """The name of the file."""
        return PurePosixPath(self.location).name


@dataclass(frozen=True, kw_only=True)
class PlannedShard:
    """A shard to pack, with all that its samples say about their dataset."""

    name: str
    dataset: str
    specialty: str
    procedure: str
    licence: str | None
    image_fps: float | None = None
    videos: tuple[PlannedVideo, ...]

    def problems(self) -> Iterator[str]:
        """What is wrong with the values."""
        if not is_shard_of(self.name, self.dataset):
            yield f"name: expected a shard {self.dataset}/{self.dataset}-000000.tar, got {self.name!r}"

    def fingerprint(self, options: PackConfig) -> str:
        """Changes when the shard's bytes would; not when its sources only move."""
        tree = to_tree(self)
        for video in tree["videos"]:
            video["location"] = PurePosixPath(video["location"]).name
            video["labels"] = sorted(video["labels"])
        return digest({"format_version": FORMAT_VERSION, "options": to_tree(options), "shard": tree})

    @property
    def predicted_frames(self) -> int:
        """Frames, by the lengths that the headers declare."""
        return sum(video.predicted_frames for video in self.videos)


@dataclass(frozen=True, kw_only=True)
class Quarantined:
    """A video that is not packed, and why."""

    dataset: str
    video: str
    source: str
    reason: str
