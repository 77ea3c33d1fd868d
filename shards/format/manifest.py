"""The manifest of a corpus: its shards, their checksums and videos. Written last; all that the data order needs."""

import hashlib
import io
import json
import math
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar, get_origin, get_type_hints

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build, to_tree
from surgstream.shards.errors import ManifestError
from surgstream.shards.format.checksummed import canonical
from surgstream.shards.format.names import (
    FORMAT_VERSION,
    FRAME_BYTES,
    MANIFEST_NAME,
    is_frame_size,
    is_plain_id,
    is_shard_name,
    is_shard_of,
)
from surgstream.shards.format.records import PackedVideo, Part, Shard
from surgstream.shards.format.review import Decision
from surgstream.shards.storage.stores import Storage

T = TypeVar("T")

_CHECKSUM_BYTES = len(b'],"checksum":""}\n') + hashlib.sha256().digest_size * 2
_LARGEST = 2**63 - 1


def _kinds(cls: type) -> dict[str, type]:
    kinds = {}
    for name, kind in get_type_hints(cls).items():
        kinds[name] = list if get_origin(kind) is tuple else kind
    return kinds


_KINDS: dict[type, dict[str, type]] = {cls: _kinds(cls) for cls in (Shard, PackedVideo, Part)}
"""The types of their fields in JSON."""


@dataclass(frozen=True, kw_only=True)
class Reviewed(Decision):
    """A decision, and the video it is about."""

    dataset: str
    video: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All shards of a corpus, sorted by name, and how they were packed.

    `packing` has the options and the versions of libraries, `review` the decisions of a person about its videos.
    """

    format_version: int
    packing: dict[str, bool | str | int | float]
    shards: tuple[Shard, ...]
    review: tuple[Reviewed, ...] = ()

    def to_bytes(self) -> bytes:
        """The manifest's file; see `encode`."""
        return encode({**to_tree(self), "shards": [shard.stored() for shard in self.shards]})

    @staticmethod
    def load(storage: Storage) -> "Manifest":
        """Read and check the manifest of a corpus; see `ManifestFile`."""
        return ManifestFile.load(storage).parse()


class ManifestFile:
    """The file of a manifest, read shard by shard: all of a large corpus as objects would take too much memory.

    Attributes:
        data: All of its bytes.
        sha256: SHA-256 of the file: the name of the corpus in checkpoints and logs.
    """

    def __init__(self, data: bytes, *, where: str) -> None:
        """Check the file as a whole.

        Args:
            data: All of its bytes.
            where: The name of the file in messages.

        Raises:
            ManifestError: It is damaged or of another format version.
        """
        # One pass: the checksum covers all but the last line, the corpus's name all of it.
        digest = hashlib.sha256(memoryview(data)[:-_CHECKSUM_BYTES])
        self.data = data
        self._where = where
        self._last_line = _last_line(digest.hexdigest())
        if not data.endswith(self._last_line):
            raise ManifestError(
                f"{where}: checksum mismatch; it is damaged: delete it and pack again"
            )
        digest.update(self._last_line)
        self.sha256 = digest.hexdigest()

        # The first line opens the list of shards; closed at once, it is a manifest without any.
        head = self._json(io.BytesIO(data).readline() + b"]}")
        version = head.get("format_version") if isinstance(head, dict) else None
        if version != FORMAT_VERSION:
            raise ManifestError(
                f"{where}: expected format version {FORMAT_VERSION}, got {reprlib.repr(version)}; "
                "pack the corpus again"
            )
        self._head: Manifest = self._build(Manifest, head, where)

    @staticmethod
    def load(storage: Storage) -> "ManifestFile":
        """Read the file of a corpus.

        Raises:
            ManifestError: It is missing, damaged or of another format version.
            StorageError: The store cannot be read.
        """
        where = f"{storage.uri}: {MANIFEST_NAME}"
        if storage.size(MANIFEST_NAME) is None:
            raise ManifestError(
                f"{where} is missing; expected a packed corpus: run `surgstream pack` or `stage`, "
                "or let it finish"
            )
        try:
            return ManifestFile(storage.read(MANIFEST_NAME), where=where)
        except ManifestError:
            # A bit may have flipped on the way.
            return ManifestFile(storage.read(MANIFEST_NAME), where=where)

    def parse(self) -> Manifest:
        """The whole manifest. Raises as `shards` does."""
        return replace(self._head, shards=tuple(self.shards()))

    def shards(self) -> Iterator[Shard]:
        """Read and check shard after shard; their names are safe to open.

        Yields:
            The shards, sorted by name, so that those of a dataset follow each other.

        Raises:
            ManifestError: Something is malformed, or there is no shard.
        """
        previous: Shard | None = None
        ids: set[str] = set()
        num_bytes = 0
        lines = io.BytesIO(self.data)
        lines.readline()  # the head, which is checked already
        for number, line in enumerate(iter(lines.readline, self._last_line)):
            tree = self._json(line.removesuffix(b"\n").removesuffix(b","))
            shard = self._shard(tree, number)
            if previous is None or previous.dataset != shard.dataset:
                ids.clear()
            num_bytes += shard.num_bytes
            self._check(shard, previous, ids, num_bytes)
            yield shard
            previous = shard

        if previous is None:
            raise ManifestError(f"{self._where}: expected at least one shard; the corpus is empty")

    def _json(self, text: bytes) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ManifestError(
                f"{self._where}: expected JSON: {error}; it is damaged: delete it and pack again"
            ) from None

    def _build(self, cls: type[T], tree: Any, where: str) -> T:
        try:
            return build(cls, tree, where=where)
        except ConfigError as error:
            raise ManifestError(str(error)) from None

    def _shard(self, tree: Any, number: int) -> Shard:
        """A shard of the right types. `build` would take ten times as long, but can tell what is wrong."""
        try:
            videos = []
            for video in tree["videos"]:
                parts = tuple(_fill(Part, part) for part in video["parts"])
                videos.append(_fill(PackedVideo, video, parts=parts))
            return _fill(Shard, {"stills": False, **tree}, videos=tuple(videos))
        except (TypeError, KeyError, AttributeError):
            return self._build(Shard, tree, f"{self._where}: shards[{number}]")

    def _check(self, shard: Shard, previous: Shard | None, ids: set[str], num_bytes: int) -> None:
        """Check a shard beyond the types of its fields.

        The checksum guards against damage, not against malice: names are opened as files, sizes are added up.

        Args:
            shard: The shard.
            previous: The shard before it.
            ids: The videos of its dataset so far; its own are added.
            num_bytes: Bytes of all shards so far, its own included.
        """
        if not is_shard_of(shard.name, shard.dataset):
            raise ManifestError(
                f"{self._where}: expected a shard DATASET/DATASET-000000.tar, got {shard.name!r}"
            )
        where = f"{self._where}: {shard.name}"
        if previous is not None and previous.name >= shard.name:
            raise ManifestError(
                f"{where}: expected shards sorted by name, each once, got it after {previous.name}"
            )
        follows = previous is not None and previous.dataset == shard.dataset
        if previous is not None and follows and previous.specialty != shard.specialty:
            raise ManifestError(
                f"{where}: expected specialty {previous.specialty!r}, as in the other shards "
                f"of its dataset, got {shard.specialty!r}; "
                "pack them again, or under different dataset names"
            )

        # The videos of a shard follow each other in its index, a row a frame.
        row = 0
        for video in shard.videos:
            _check_video(video, row, f"{where}: video {video.id!r}")
            if video.id in ids:
                raise ManifestError(
                    f"{where}: video {video.id!r} stands twice in dataset {shard.dataset!r}"
                )
            ids.add(video.id)
            row += video.num_frames

        if row == 0:
            raise ManifestError(f"{where}: expected frames, it has none")
        least = row * FRAME_BYTES
        if shard.num_bytes < least:
            raise ManifestError(
                f"{where}: expected at least {least} bytes for {row} frames, got {shard.num_bytes}"
            )
        # Readers add sizes up in signed 64 bits.
        if num_bytes > _LARGEST:
            raise ManifestError(
                f"{where}: expected less than 2^63 bytes in all shards up to it, got {num_bytes}"
            )


def encode(tree: dict[str, Any]) -> bytes:
    """Write the plain dictionaries of a manifest.

    Returns:
        ASCII JSON with sorted keys and no spaces: a line that opens it, one for each shard, and one that closes it with
        a checksum of all lines before.
    """
    # `shards` comes after all other keys when they are sorted, so its list can stay open.
    head = canonical({**tree, "shards": []}).removesuffix(b"]}\n")
    lines = b",\n".join(canonical(shard).strip() for shard in tree["shards"])
    body = head + b"\n" + lines + b"\n" * bool(lines)
    return body + _last_line(hashlib.sha256(body).hexdigest())


def _last_line(checksum: str) -> bytes:
    return b'],"checksum":"%b"}\n' % checksum.encode()


def _fill(cls: type[T], tree: Any, **converted: Any) -> T:
    """An instance of `cls` from a dictionary of its fields; TypeError unless each is there and of its type."""
    if {name: type(value) for name, value in tree.items()} != _KINDS[cls]:
        raise TypeError
    return cls(**{**tree, **converted})


def _check_video(video: PackedVideo, row: int, where: str) -> None:
    if not is_plain_id(video.id):
        raise ManifestError(f"{where}: expected an id of 1 to 80 characters of A-Z a-z 0-9 _ -")
    if not is_frame_size(video.width, video.height):
        raise ManifestError(
            f"{where}: expected frames of up to 8K, got {video.width}x{video.height} pixels"
        )
    if video.first_row != row:
        raise ManifestError(f"{where}: expected first_row {row}, got {video.first_row}")
    if not 0 < video.fps < math.inf:
        raise ManifestError(f"{where}: expected a finite fps above 0, got {video.fps}")

    # One past the last frame of the parts so far.
    frame = 0
    for part in video.parts:
        if part.first_frame < frame or part.num_frames < 1:
            raise ManifestError(
                f"{where}: expected parts with frames, in order, that do not overlap"
            )
        frame = part.first_frame + part.num_frames
    if not 0 < frame <= _LARGEST:
        raise ManifestError(
            f"{where}: expected parts that end after frame 0 and before frame 2^63, got {frame}"
        )


def packed_shards(storage: Storage) -> set[str]:
    """The names of the shards that lie in a corpus, planned or not."""
    return {name for name in storage.sizes() if is_shard_name(name)}
