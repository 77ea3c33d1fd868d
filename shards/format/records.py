"""The records of a shard: videos, their uninterrupted parts, and the segments in which parts are stored."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from surgstream.configs.loading import to_tree
from surgstream.shards.format.names import index_name


@dataclass(frozen=True, kw_only=True)
class Part:
    """An uninterrupted run of a video's frames; frame k is the picture shown k / fps seconds after the first one."""

    first_frame: int
    num_frames: int


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch of a video, in seconds after its first shown picture; `stop` is None where it is unknown."""

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
    """A change of the pictures of a source: its second after the first picture, the state before, and the one after."""

    second: float
    was: str
    now: str


RENAMED_KINDS = {"blank": "uniform", "outside": "out_of_body"}
"""Kinds of findings by the names that corpora packed before have for them."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A stretch that shows no operation, or something that should not be seen, by a rule of `shards.screening`.

    `start` and `stop` are in seconds after the first shown picture, `score` is 0.5 to 1, and `shown` is the second of
    the frame that shows it best: within `box`, in pixels of a frame, or in all of the frame if None.
    """

    kind: str
    start: float
    stop: float
    score: float
    shown: float
    box: Box | None = None

    def __post_init__(self) -> None:
        """Call the kind by its name of now, whenever it was written."""
        object.__setattr__(self, "kind", RENAMED_KINDS.get(self.kind, self.kind))


@dataclass(frozen=True, kw_only=True)
class VideoReport:
    """The reading of a video. There is one for each video that was packed or wholly dropped.

    `container` and `codec` are FFmpeg's names; `width`, `height`, `fps` and `seconds` are the source's as its header
    declares them, None where it does not; `lost` could not be decoded; `crop` is the kept part of its stored
    pictures. `findings` were seen in it, and `dropped` was left out because of them or by the review. Where `judged`
    is false, its colours are not those of tissue, so that no frame was judged to be outside of the body. A video that
    is `too_short`, by `min_seconds`, is left out: all of it that would be packed is dropped. At `changes` the size,
    pixel aspect or turn of its pictures changes; frames keep their proportions, on black where they do not fill the
    frame.
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
        found_seconds = 0.0
        dropped_seconds = 0.0
        for finding in self.findings:
            if finding.kind != kind:
                continue
            found_seconds += finding.stop - finding.start
            for span in self.dropped:
                if span.stop is not None:
                    # Below 0 where the two lie apart.
                    shared = min(finding.stop, span.stop) - max(finding.start, span.start)
                    dropped_seconds += max(0.0, shared)
        return found_seconds, dropped_seconds

    def between(self, start: Fraction, stop: Fraction) -> dict[str, Any]:
        """The source and the findings in [start, stop), in seconds, for the JSON of a segment."""
        box = self.crop
        findings = [
            {"kind": each.kind, "start": each.start, "stop": each.stop, "score": each.score}
            for each in self.findings
            if each.start < float(stop) and each.stop > float(start)
        ]
        return {
            "source_fps": self.fps,
            "crop": [box.left, box.top, box.right, box.bottom] if box else None,
            "findings": findings,
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
    """A tar of whole videos of one dataset, with the checksums of the tar and of its index.

    Where it is of `stills`, each of its frames is an image of its own, not a moment of a video.
    """

    name: str
    num_bytes: int
    sha256: str
    index_sha256: str
    dataset: str
    specialty: str
    procedure: str
    videos: tuple[PackedVideo, ...]
    stills: bool = False

    def stored(self) -> dict[str, Any]:
        """The shard as manifests hold it: of videos as those of before did, which knew no stills."""
        tree: dict[str, Any] = to_tree(self)
        if not self.stills:
            del tree["stills"]
        return tree

    @property
    def num_frames(self) -> int:
        """Packed frames, over all videos."""
        return sum(video.num_frames for video in self.videos)

    @property
    def seconds(self) -> float:
        """Seconds of video that its frames stand for: none of still images."""
        return 0.0 if self.stills else sum(video.num_frames / video.fps for video in self.videos)

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
    """The dataset of a shard."""

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
    """The facts of the manifest that a segment's JSON repeats, for readers that have only the tar."""
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
