"""Take the frames of one video: decoded, cropped, encoded, looked at, and without what is to be dropped."""

import contextlib
import io
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import numpy as np
import numpy.typing as npt
from PIL import Image

from surgstream.shards.corpus.file import PackConfig
from surgstream.shards.format.records import Box, Change, Finding, Part, Span, VideoReport
from surgstream.shards.format.review import Decision
from surgstream.shards.packing.plan_records import PlannedShard, PlannedVideo
from surgstream.shards.screening.borders import Border, find_border
from surgstream.shards.screening.screener import FrameEvidence, FrameScreener, Interval
from surgstream.shards.spool import Spool, spool
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.frames import JpegFrames
from surgstream.shards.video.sources import Film
from surgstream.shards.workers import ProgressCallback


@dataclass(frozen=True)
class ExtractedFrames:
    """The frames of a video that are kept.

    Attributes:
        parts: Their uninterrupted runs; none where all is dropped, or too little left.
        width: In pixels.
        height: In pixels.
        reading: Report on reading the video.
        jpegs: The frames, in order, to be iterated once.
    """

    parts: tuple[Part, ...]
    width: int
    height: int
    reading: VideoReport
    jpegs: Iterator[bytes]


@contextlib.contextmanager
def extract_frames(
    video: PlannedVideo,
    shard: PlannedShard,
    options: PackConfig,
    stores: Stores,
    progress: ProgressCallback,
    *,
    threads: int,
    memory_bytes: int,
) -> Iterator[ExtractedFrames]:
    """Take a video's frames. All are decoded first: only the last one shows whether the video can be packed.

    Args:
        video: The video.
        shard: The shard it goes into.
        options: The options of packing.
        stores: Where `s3://` addresses are read from.
        progress: Called after every frame.
        threads: Number of threads that decode and encode.
        memory_bytes: Size from which its JPEGs are held in a temporary file.

    Yields:
        The frames, which are held in memory, or in the temporary folder when they are many.

    Raises:
        VideoError: Nothing can be decoded.
        StorageError: A store fails, or the temporary folder is full.
    """
    fps = Fraction(str(options.fps))
    watch = FrameScreener()
    film = shard.film(video, stores, threads=threads, gpu=options.decode == "nvdec")
    border = find_border(film) if options.crop_borders else None
    frames = _frames(film, options, border, watch, threads)

    with spool(memory_bytes) as spooled:
        numbers = _fill(spooled, frames, progress)
        stretches = watch.intervals(numbers[-1] + 1, partial(_frame, spooled, numbers))
        unwanted = [stretch for stretch in stretches if stretch.kind in options.drop]
        kept = _kept(numbers, unwanted, video.review, fps)

        # A video that is too short is left out as a whole.
        too_short = shard.is_too_short(int(kept.sum()), options.fps)
        kept &= not too_short

        # Only now is `film.lost` complete: the last frame is decoded.
        reading = _reading(
            film,
            video,
            dataset=shard.dataset,
            crop=None if border is None else border.box,
            findings=tuple(_finding(stretch, fps) for stretch in stretches),
            dropped=tuple(_span(part, fps) for part in _runs(np.array(numbers)[~kept])),
            judged=watch.has_tissue_colours,
            changes=tuple(frames.changes),
            too_short=too_short,
        )

        parts = tuple(_runs(np.array(numbers)[kept]))
        jpegs = (spooled.read(int(at)) for at in np.flatnonzero(kept))
        yield ExtractedFrames(parts, frames.width, frames.height, reading, jpegs)


def _frames(
    film: Film, options: PackConfig, border: Border | None, watch: FrameScreener, threads: int
) -> JpegFrames[FrameEvidence]:
    return JpegFrames(
        film,
        fps=Fraction(str(options.fps)),
        short_side=options.short_side,
        quality=options.jpeg_quality,
        crop=None if border is None else (border.box, border.shape),
        threads=threads,
        watcher=watch,
    )


def _fill(
    spooled: Spool, frames: Iterable[tuple[int, bytes]], progress: ProgressCallback
) -> list[int]:
    """Decode all frames into the spool, and return their numbers."""
    numbers = []
    for number, jpeg in frames:
        numbers.append(number)
        spooled.append(jpeg)
        progress(1)
    return numbers


def _frame(spooled: Spool, numbers: Sequence[int], number: int) -> Image.Image:
    """Decode the frame of a number from the spool."""
    jpeg = spooled.read(bisect_left(numbers, number))
    return Image.open(io.BytesIO(jpeg)).convert("RGB")


def _kept(
    numbers: Sequence[int], unwanted: Iterable[Interval], review: Sequence[Decision], fps: Fraction
) -> npt.NDArray[np.bool_]:
    """Mark the frames to keep: those in no unwanted stretch, unless the review says otherwise."""
    kept = np.ones(len(numbers), bool)
    for stretch in unwanted:
        start = bisect_left(numbers, stretch.first)
        stop = bisect_left(numbers, stretch.stop)
        kept[start:stop] = False

    # (num_decisions, 2), start and stop: seconds, then positions among the decoded frames
    seconds = np.array([(decision.start, decision.stop) for decision in review]).reshape(-1, 2)
    bounds = np.searchsorted(np.asarray(numbers), _first_from(seconds, fps))
    for decision, (start, stop) in zip(review, bounds.tolist(), strict=True):
        kept[start:stop] = decision.keep
    return kept


def _first_from(seconds: npt.NDArray[np.float64], fps: Fraction) -> npt.NDArray[np.float64]:
    """Find the first frames at or after some seconds. Rounding makes up for seconds that a float cannot hold."""
    return np.ceil(np.round(seconds * float(fps), 2))


def _reading(
    film: Film,
    video: PlannedVideo,
    *,
    dataset: str,
    crop: Box | None,
    findings: tuple[Finding, ...],
    dropped: tuple[Span, ...],
    judged: bool,
    changes: tuple[Change, ...],
    too_short: bool,
) -> VideoReport:
    """Report on reading a film, whose last picture must be decoded: only then is all that is lost known."""
    header = film.header()

    return VideoReport(
        dataset=dataset,
        video=video.id,
        source=video.source,
        container=header.kind,
        codec=header.codec,
        width=header.width,
        height=header.height,
        fps=None if header.rate is None else float(header.rate),
        seconds=None if header.seconds is None else float(header.seconds),
        lost=tuple(film.lost),
        crop=crop,
        findings=findings,
        dropped=dropped,
        judged=judged,
        changes=changes,
        too_short=too_short,
    )


def _finding(stretch: Interval, fps: Fraction) -> Finding:
    return Finding(
        kind=stretch.kind,
        start=float(stretch.first / fps),
        stop=float(stretch.stop / fps),
        score=round(stretch.score, 3),
        shown=float(stretch.shown / fps),
        box=None if stretch.box is None else _box(*stretch.box),
    )


def _box(left: int, top: int, right: int, bottom: int) -> Box:
    return Box(left=left, top=top, right=right, bottom=bottom)


def _span(part: Part, fps: Fraction) -> Span:
    stop_frame = part.first_frame + part.num_frames
    return Span(start=float(part.first_frame / fps), stop=float(stop_frame / fps))


def _runs(numbers: npt.NDArray[np.int64]) -> Iterator[Part]:
    """Split ascending numbers into runs of consecutive ones."""
    starts = np.flatnonzero(np.diff(numbers) != 1) + 1
    for run in np.split(numbers, starts):
        # Without any numbers there is one run, which is empty.
        if len(run):
            yield Part(first_frame=int(run[0]), num_frames=len(run))
