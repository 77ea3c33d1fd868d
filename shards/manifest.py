"""The manifest of a corpus: its shards, their checksums and videos. Written last; all that the data order needs."""

import hashlib
import reprlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from configs.errors import ConfigError
from configs.loading import build, to_tree
from shards.errors import ManifestError
from shards.schema import (
    FORMAT_VERSION,
    FRAME_BYTES,
    MANIFEST_NAME,
    index_name,
    is_frame_size,
    is_plain_id,
    is_shard_of,
)
from shards.sealed import seal, unseal
from shards.storage import Storage


@dataclass(frozen=True, kw_only=True)
class Part:
    """An uninterrupted run of a video's frames; frame k is what is shown k / fps seconds after the first shown one."""

    first_frame: int
    num_frames: int


@dataclass(frozen=True, kw_only=True)
class PackedVideo:
    """A video inside a shard.

    `id` is unique in its dataset, `source` is the name of the file it came from, `first_row` is the row of its first
    frame in the shard's index; `width` and `height` are those of the packed frames in pixels.
    """

    id: str
    source: str
    parts: tuple[Part, ...]
    first_row: int
    fps: float
    width: int
    height: int

    @property
    def num_frames(self) -> int:
        """Packed frames, over all parts."""
        return sum(part.num_frames for part in self.parts)


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A tar of whole videos of one dataset, with the checksums of the tar and of its index."""

    name: str
    num_bytes: int
    sha256: str
    index_sha256: str
    dataset: str
    specialty: str
    procedure: str
    videos: tuple[PackedVideo, ...]

    @property
    def num_frames(self) -> int:
        """Packed frames, over all videos."""
        return sum(video.num_frames for video in self.videos)

    @property
    def index_name(self) -> str:
        """The name of the index beside the tar."""
        return index_name(self.name)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All shards of a corpus, sorted by name, and how they were packed (options and software versions)."""

    format_version: int
    packing: dict[str, str | int | float]
    shards: tuple[Shard, ...]

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the manifest's file: the name of the corpus in checkpoints and logs."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """The manifest's file: canonical JSON that carries a checksum of all it says."""
        return seal(to_tree(self))

    @staticmethod
    def load(storage: Storage) -> "Manifest":
        """Read and check the manifest of a corpus.

        Args:
            storage: The corpus.

        Returns:
            The manifest; its names are safe to open.

        Raises:
            ManifestError: It is missing, malformed, altered, of another format version, or has no frames.
            StorageError: The store cannot be read.
        """
        where = f"{storage.uri}: {MANIFEST_NAME}"
        if storage.size(MANIFEST_NAME) is None:
            raise ManifestError(
                f"{where} is missing; expected a packed corpus: run `surgstream pack`, or let it finish"
            )
        try:
            return from_bytes(storage.read(MANIFEST_NAME), where=where)
        except ManifestError:  # a bit may have flipped on the way
            return from_bytes(storage.read(MANIFEST_NAME), where=where)


def from_bytes(data: bytes, *, where: str) -> Manifest:
    """Read and check the bytes of a manifest; see `Manifest.load`."""
    tree = unseal(data, where=where)
    version = tree.get("format_version")
    if version != FORMAT_VERSION:
        raise ManifestError(
            f"{where}: expected format version {FORMAT_VERSION}, got {reprlib.repr(version)}; pack the corpus again"
        )
    try:
        manifest = build(Manifest, tree, where=where)
    except ConfigError as error:
        raise ManifestError(str(error)) from None
    _check(manifest, where)
    return manifest


def segments(parts: Iterable[Part], segment_frames: int) -> Iterator[Part]:
    """Cut a video's parts into the runs of frames that are stored as one WebDataset sample each.

    Args:
        parts: The parts, in order.
        segment_frames: Most frames in a segment.

    Yields:
        The segments, in order; none crosses the end of a part.
    """
    for part in parts:
        end = part.first_frame + part.num_frames
        for first in range(part.first_frame, end, segment_frames):
            yield Part(first_frame=first, num_frames=min(segment_frames, end - first))


class Origin(Protocol):
    """Where the videos of a shard come from."""

    @property
    def dataset(self) -> str:
        """The dataset's name."""

    @property
    def specialty(self) -> str:
        """Its specialty."""

    @property
    def procedure(self) -> str:
        """Its procedure."""


def describe(origin: Origin, video: PackedVideo, segment: Part) -> dict[str, Any]:
    """What a segment's JSON repeats of the manifest, for readers that have only the tar."""
    return {
        "dataset": origin.dataset,
        "specialty": origin.specialty,
        "procedure": origin.procedure,
        "video": video.id,
        "source": video.source,
        "first_frame": segment.first_frame,
        "num_frames": segment.num_frames,
        "fps": video.fps,
        "width": video.width,
        "height": video.height,
    }


def _check(manifest: Manifest, where: str) -> None:
    """Check what the types cannot say.

    The checksum guards against damage, not against malice, and names from a manifest are opened as files.
    """
    if not manifest.shards:
        raise ManifestError(f"{where}: expected at least one shard; the corpus is empty")
    names = [shard.name for shard in manifest.shards]
    if names != sorted(set(names)):
        raise ManifestError(f"{where}: expected shards sorted by name, each once")
    seen: set[tuple[str, str]] = set()
    for shard in manifest.shards:
        if not is_shard_of(shard.name, shard.dataset):
            raise ManifestError(f"{where}: expected a shard DATASET/DATASET-000000.tar, got {shard.name!r}")
        row = 0
        for video in shard.videos:
            _check_video(video, row, f"{where}: {shard.name}: video {video.id!r}")
            if (shard.dataset, video.id) in seen:
                raise ManifestError(f"{where}: video {video.id!r} stands twice in dataset {shard.dataset!r}")
            seen.add((shard.dataset, video.id))
            row += video.num_frames
        if row == 0:
            raise ManifestError(f"{where}: {shard.name}: expected frames, it has none")
        if not row * FRAME_BYTES <= shard.num_bytes < 2**63:
            raise ManifestError(f"{where}: {shard.name}: {row} frames cannot lie in {shard.num_bytes} bytes")


def _check_video(video: PackedVideo, row: int, where: str) -> None:
    if not is_plain_id(video.id):
        raise ManifestError(f"{where}: expected an id of 1 to 80 characters of A-Z a-z 0-9 _ -")
    if not is_frame_size(video.width, video.height):
        raise ManifestError(f"{where}: expected frames of up to 8K, got {video.width}x{video.height} pixels")
    if video.fps <= 0:
        raise ManifestError(f"{where}: expected frames a second above 0, got {video.fps}")
    if video.first_row != row:
        raise ManifestError(f"{where}: expected first_row {row}, got {video.first_row}")
    frame = 0
    for part in video.parts:
        if part.first_frame < frame or part.num_frames < 1:
            raise ManifestError(f"{where}: expected parts with frames, in order, that do not overlap")
        frame = part.first_frame + part.num_frames
