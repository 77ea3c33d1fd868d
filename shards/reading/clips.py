"""Clips cut from chunks, and the substitutes of damaged clips."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from surgstream.shards.errors import CorruptSampleError
from surgstream.shards.order.sequence import Order
from surgstream.shards.reading.buffers import Bytes
from surgstream.shards.reading.chunks import BadFrame, Chunk, ChunkReader
from surgstream.shards.reading.locations import ClipTable, Location

_MAX_SUBSTITUTES = 16


@dataclass(frozen=True, kw_only=True)
class ClipShape:
    """The frames of a clip.

    Attributes:
        num_frames: How many there are, T.
        stride: Frames from one to the next, at the rate of the corpus's table.
    """

    num_frames: int
    stride: int

    @property
    def look_back(self) -> int:
        """Frames from the first one of a clip to its anchor, the last one."""
        return (self.num_frames - 1) * self.stride


@dataclass(frozen=True, kw_only=True)
class BadClipLimits:
    """The most damaged clips before a run ends; until then others of the same dataset replace them.

    Attributes:
        in_all: Over all ranks, since the last start of the run.
        in_a_row: Of one rank's clips; more are no accident.
    """

    in_all: int = 100
    in_a_row: int = 16


@dataclass(frozen=True, eq=False)
class ClipBytes:
    """A clip as it lies in the shards.

    Attributes:
        draw: The draw it is; in a finite pass, its number among all clips.
        dataset: Its dataset.
        clip: Its number in the dataset.
        video: Id of its video in the dataset.
        anchor_frame: Number in the video of its last frame.
        width: Width of its frames in pixels.
        height: Height of its frames in pixels.
        planned: Video and anchor frame of the clip that the order planned, where this one replaces it; else None.
        frames: T JPEGs, oldest first, each (num_bytes,): views into the chunk they were read with. A clip that begins
            before its part repeats the earliest frame that it shows, the last one on its own stride. Of a still the
            one JPEG.
        is_still: Whether it is a still: all of its T frames are one picture.
        attempt: How many substitutes have been tried, this one included; 0 for the planned clip.
        valid: False where it must not count: padding of a finite pass, or a substitute in one.
    """

    draw: int
    dataset: str
    clip: int
    video: str
    anchor_frame: int
    width: int
    height: int
    planned: tuple[str, int] | None
    frames: tuple[Bytes, ...]
    is_still: bool = False
    attempt: int = 0
    valid: bool = True


@dataclass(frozen=True)
class BadClip:
    """A planned clip that could not be used, or a substitute that could not be decoded.

    Attributes:
        draw: Its draw.
        dataset: Its dataset.
        video: Id of its video in the dataset.
        anchor_frame: Number in the video of its last frame.
        used_video: Id of the video of its substitute.
        used_anchor_frame: Number of the substitute's last frame.
        cause: The first of its frames that is bad.
    """

    draw: int
    dataset: str
    video: str
    anchor_frame: int
    used_video: str
    used_anchor_frame: int
    cause: BadFrame

    def as_json(self) -> dict[str, Any]:
        """As a line of the quarantine, where the draw is called g."""
        tree = asdict(self)
        return {"g": tree.pop("draw"), **tree}


class ClipCutter:
    """Cuts the clips of draws from the chunks that hold them.

    Attributes:
        bad_clips: Clips that could not be used since the list was last emptied.
    """

    def __init__(
        self,
        table: ClipTable,
        order: Order,
        reader: ChunkReader,
        shape: ClipShape,
        limits: BadClipLimits,
    ) -> None:
        """Remember how to cut.

        Args:
            table: The corpus.
            order: Names the substitute of a bad clip.
            reader: Reads substitutes.
            shape: Frames of a clip, at the rate of the table.
            limits: When to give up.
        """
        self._table = table
        self._order = order
        self._reader = reader
        self._shape = shape
        self._limits = limits
        self._num_bad = 0
        self._bad_in_a_row = 0
        self.bad_clips: list[BadClip] = []

    def clip(self, draw: int, dataset: int, where: Location, chunk: Chunk) -> ClipBytes:
        """The clip of a draw, or its substitute: a function of (seed, draw) and of what is damaged.

        Args:
            draw: The draw.
            dataset: Its dataset, by number in the order.
            where: The place of its clip.
            chunk: The chunk that holds it.

        Returns:
            The clip.

        Raises:
            CorruptSampleError: Too many clips are damaged.
            StorageError: A substitute cannot be read.
        """
        cause = self._damage(where, chunk)
        if cause is None:
            self._bad_in_a_row = 0
            return self._cut(draw, where, chunk)
        return self._next_substitute(draw, dataset, where, cause)

    def substitute(self, clip: ClipBytes, position: int, reason: str) -> ClipBytes:
        """The substitute of a clip whose bytes are as packed, and yet cannot be decoded.

        It depends on (seed, draw) and on what is damaged alone, as that of `clip` does.

        Args:
            clip: The clip, which may stand in for another one itself.
            position: Which of its frames is at fault.
            reason: What is wrong with that.

        Returns:
            The next substitute of the planned clip.

        Raises:
            CorruptSampleError: Too many clips are damaged.
            StorageError: A substitute cannot be read.
        """
        where = self._table.locate(clip.dataset, clip.clip)
        shown = self._shown(where)
        # What is missing at its beginning repeats the first frame that there is.
        frame = shown[max(0, position - (len(clip.frames) - len(shown)))]
        rows = next(self._table.rows(clip.dataset, frame, frame + 1))
        video, number = self._table.video_frame(clip.dataset, frame)
        cause = BadFrame(rows.shard, video, number, reason)

        dataset = self._order.dataset_names.index(clip.dataset)
        found = self._next_substitute(clip.draw, dataset, where, cause, tried=clip.attempt)
        return replace(found, planned=clip.planned or found.planned)

    def _next_substitute(
        self, draw: int, dataset: int, where: Location, cause: BadFrame, *, tried: int = 0
    ) -> ClipBytes:
        """Cut the first whole substitute after those that were tried, and note it."""
        for attempt in range(tried, _MAX_SUBSTITUTES):
            clip = self._order.substitute(dataset, draw, attempt)
            used = self._table.locate(where.dataset, clip)
            chunk = self._reader.read(where.dataset, clip, 1)
            if self._damage(used, chunk) is None:
                break
        else:
            raise self._too_many(
                cause,
                f"{_MAX_SUBSTITUTES} clips that should stand in for another one are damaged "
                "as well",
            )

        self._note(draw, where, used, cause)
        clip_bytes = self._cut(draw, used, chunk)
        return replace(clip_bytes, planned=(where.video, where.frame), attempt=attempt + 1)

    def _note(self, draw: int, where: Location, used: Location, cause: BadFrame) -> None:
        """List a clip that was replaced, and give up where there are too many."""
        bad_clip = BadClip(
            draw=draw,
            dataset=where.dataset,
            video=where.video,
            anchor_frame=where.frame,
            used_video=used.video,
            used_anchor_frame=used.frame,
            cause=cause,
        )
        self.bad_clips.append(bad_clip)
        self._num_bad += 1
        self._bad_in_a_row += 1
        if self._bad_in_a_row > self._limits.in_a_row:
            raise self._too_many(cause, f"{self._bad_in_a_row} clips in a row are damaged")
        # Those of this rank; the sum over all ranks is checked where it is known.
        if self._num_bad > self._limits.in_all:
            raise self._too_many(cause, f"{self._num_bad} clips are damaged")

    def _shown(self, where: Location) -> range:
        """The frames of a clip that its part has, by number in the dataset, oldest first."""
        if where.is_still:
            return range(where.number, where.number + 1)

        stride = self._shape.stride * where.apart
        num_in_part = (where.number - where.part_start) // stride + 1
        num_frames = min(self._shape.num_frames, num_in_part)
        first = where.number - (num_frames - 1) * stride
        return range(first, where.number + 1, stride)

    def _damage(self, where: Location, chunk: Chunk) -> BadFrame | None:
        if not chunk.bad:
            return None
        damaged = (chunk.bad[frame] for frame in self._shown(where) if frame in chunk.bad)
        return next(damaged, None)

    def _too_many(self, cause: BadFrame, what: str) -> CorruptSampleError:
        return CorruptSampleError(
            f"{self._table.storage.uri}: {what}, the last one by {cause.shard}: "
            f"video {cause.video}, frame {cause.frame}: {cause.reason}; "
            "run `surgstream verify`, then copy the shard again or pack it again"
        )

    def _cut(self, draw: int, where: Location, chunk: Chunk) -> ClipBytes:
        frames = chunk.frames(self._shown(where))
        # A still is repeated once it is decoded.
        if not where.is_still:
            num_missing = self._shape.num_frames - len(frames)
            frames = frames[:1] * num_missing + frames

        self._reader.counters.add(bytes_used=sum(map(len, frames)))
        return ClipBytes(
            draw=draw,
            dataset=where.dataset,
            clip=where.clip,
            video=where.video,
            anchor_frame=where.frame,
            width=where.width,
            height=where.height,
            planned=None,
            frames=frames,
            is_still=where.is_still,
        )
