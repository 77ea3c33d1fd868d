"""Records of a plan: its shards and videos."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any

from surgstream.configs.loading import to_tree
from surgstream.shards.corpus.file import PackConfig, stored_options
from surgstream.shards.format.checksummed import digest
from surgstream.shards.format.names import FORMAT_VERSION, is_plain_id, is_shard_of
from surgstream.shards.format.review import Decision
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.sources import Film, find_film


@dataclass(frozen=True, kw_only=True)
class PlannedVideo:
    """A video of a planned shard.

    `version` changes when its file, or a label file, changes; `review` has the decisions about it. Where the name of
    its file is `hidden`, `id` is a pseudonym, and nothing that is written into a corpus names the file.
    """

    id: str
    location: str
    version: str
    labels: dict[str, str]
    review: tuple[Decision, ...] = ()
    predicted_frames: int
    predicted_bytes: int
    hidden: bool = False

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the values."""
        if not is_plain_id(self.id):
            yield f"id: expected 1 to 80 characters of A-Z a-z 0-9 _ -, got {self.id!r}"

    @property
    def source(self) -> str:
        """The file's name in the corpus."""
        return self.id if self.hidden else PurePosixPath(self.location).name

    def written(self) -> "PlannedVideo":
        """Give the video as it is written into a corpus."""
        if not self.hidden:
            return self
        return replace(self, location=self.id, labels=dict.fromkeys(self.labels, self.id))


@dataclass(frozen=True, kw_only=True)
class PlannedShard:
    """A shard to pack, with all that its samples say about their dataset, and the least length of its videos."""

    name: str
    dataset: str
    specialty: str
    procedure: str
    licence: str | None
    image_fps: float | None = None
    images: str = "*"
    stills: bool = False
    min_seconds: float = 0.0
    videos: tuple[PlannedVideo, ...]

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the values."""
        if not is_shard_of(self.name, self.dataset):
            yield (
                f"name: expected a shard {self.dataset}/{self.dataset}-000000.tar, got "
                f"{self.name!r}"
            )

    def fingerprint(self, options: PackConfig) -> str:
        """Compute a digest that changes when the shard's bytes would, and not when its sources only move."""
        tree = self.stored()
        for video, planned in zip(tree["videos"], self.videos, strict=True):
            video["location"] = planned.source
            video["labels"] = sorted(video["labels"])

        return digest(
            {"format_version": FORMAT_VERSION, "options": stored_options(options), "shard": tree}
        )

    def stored(self) -> dict[str, Any]:
        """The shard as plans and fingerprints hold it: as those of before did, which knew neither of these two."""
        tree: dict[str, Any] = to_tree(self)
        for name, usual in (("images", "*"), ("stills", False)):
            if tree[name] == usual:
                del tree[name]
        return tree

    def film(
        self, video: PlannedVideo, stores: Stores, *, threads: int = 1, gpu: bool = False
    ) -> Film:
        """Find the source of one of its videos, without opening it; see `find_film`."""
        return find_film(
            video.location,
            stores,
            image_fps=self.image_fps,
            images=self.images,
            still=self.stills,
            threads=threads,
            gpu=gpu,
        )

    def is_too_short(self, num_frames: int, fps: float) -> bool:
        """Whether a video is left out because only `num_frames` of it would be packed; a still image never is."""
        least_frames = Fraction(str(self.min_seconds)) * Fraction(str(fps))
        return not self.stills and 0 < num_frames < least_frames

    @property
    def predicted_frames(self) -> int:
        """Number of frames, by the lengths that the headers declare."""
        return sum(video.predicted_frames for video in self.videos)
