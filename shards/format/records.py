"""What a shard holds: videos, their uninterrupted parts, and the segments that these are stored as."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from surgstream.shards.format.names import index_name


@dataclass(frozen=True, kw_only=True)
class Part:
    """An uninterrupted run of a video's frames; frame k is what is shown k / fps seconds after the first shown one."""

    first_frame: int
    num_frames: int


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch of a video, in seconds after its first shown picture; `stop` is None where nobody can tell."""

    start: float
    stop: float | None


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle of a picture as it is stored, in pixels; `right` and `bottom` are the first ones outside."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, kw_only=True)
class Change:
    """Where the pictures of a source become others: in seconds after the first one, from what, and to what."""

    second: float
    was: str
    now: str


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A stretch that shows no operation, or what should not be seen, by a rule of `shards.screening`.

    `start` and `stop` are in seconds after the first shown picture, `score` is 0.5 to 1, and `shown` is the second of
    the frame that shows it best: within `box`, in pixels of a frame, or all over it if None.
    """

    kind: str
    start: float
    stop: float
    score: float
    shown: float
    box: Box | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a video was read that was packed, or of which all was dropped.

    `container` and `codec` are FFmpeg's names; `width`, `height`, `fps` and `seconds` are the source's as its header
    declares them, None where it does not; `lost` could not be decoded; `crop` is what is kept of its stored pictures.
    `findings` are what was seen in it, `dropped` is what was therefore, or by the review, left out. Where `judged` is
    false, its colours are not those of tissue, so that nothing could be said to lie outside of the body.
    A video that is `too_short`, by `min_seconds`, is left out: all of it that would be packed is dropped.
    `changes` are where size, pixel aspect or turn of its pictures change; frames keep their proportions, on black where
    they do not fill the frame.
    """

    dataset: str
    video: str
    source: str
    container: str
    codec: str
    width: int
    height: int
    fps: float | None
    seconds: float | None
    lost: tuple[Span, ...]
    crop: Box | None = None
    findings: tuple[Finding, ...] = ()
    dropped: tuple[Span, ...] = ()
    judged: bool = True
    changes: tuple[Change, ...] = ()
    too_short: bool = False

    @property
    def lost_seconds(self) -> float:
        """Seconds that are known to be lost."""
        return sum(span.stop - span.start for span in self.lost if span.stop is not None)

    @property
    def dropped_seconds(self) -> float:
        """Seconds that were left out."""
        return sum(span.stop - span.start for span in self.dropped if span.stop is not None)

    def found_seconds(self, kind: str) -> tuple[float, float]:
        """Seconds in which something of a kind was found, and how many of them were left out."""
        found = [each for each in self.findings if each.kind == kind]
        # What each finding and each stretch share; below 0 where they lie apart
        out = (
            min(each.stop, span.stop) - max(each.start, span.start)
            for each in found
            for span in self.dropped
            if span.stop is not None
        )
        return sum(each.stop - each.start for each in found), sum(
            filter(lambda seconds: seconds > 0, out)
        )

    def between(self, start: Fraction, stop: Fraction) -> dict[str, Any]:
        """What the JSON of a segment says of the source and of what was found in [start, stop), in seconds."""
        found = [
            each for each in self.findings if each.start < float(stop) and each.stop > float(start)
        ]
        return {
            "source_fps": self.fps,
            "crop": self.crop
            and [self.crop.left, self.crop.top, self.crop.right, self.crop.bottom],
            "findings": [
                {"kind": each.kind, "start": each.start, "stop": each.stop, "score": each.score}
                for each in found
            ],
        }


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
