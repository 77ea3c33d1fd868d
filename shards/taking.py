"""Take the frames of one video: decoded, cropped, encoded, looked at, and without what is to be dropped."""

import base64
import contextlib
import io
import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from PIL import Image

from shards.corpus import PackConfig
from shards.errors import VideoError
from shards.packed import Crop, Finding, Part, Reading, Span
from shards.planned import PlannedShard, PlannedVideo
from shards.processes import Progress
from shards.review import Decision
from shards.spool import spool
from shards.storage import Stores
from shards.video.film import Film, find_film
from shards.video.frames import JpegFrames
from shards.views.borders import find_border
from shards.views.regions import Rectangle
from shards.views.watch import Stretch, Watch

THUMBNAIL_SIDE, THUMBNAIL_QUALITY = 160, 75


@dataclass(frozen=True)
class Taken:
    """A video's frames, those that are kept.

    Attributes:
        parts: Their uninterrupted runs.
        width: In pixels.
        height: In pixels.
        reading: How the video was read.
        jpegs: The frames, in order, to be iterated once.
    """

    parts: tuple[Part, ...]
    width: int
    height: int
    reading: Reading
    jpegs: Iterator[bytes]


@contextlib.contextmanager
def take(
    video: PlannedVideo, shard: PlannedShard, options: PackConfig, stores: Stores, threads: int, progress: Progress
) -> Iterator[Taken]:
    """Take a video's frames: whether it can be packed shows only when its last one is decoded.

    Args:
        video: The video.
        shard: The one it is for.
        options: How it is packed.
        stores: Where `s3://` addresses are read from.
        threads: To decode and encode with.
        progress: Called after every frame.

    Yields:
        The frames, which are held in memory, or in the temporary folder when they are many.

    Raises:
        VideoError: Nothing can be decoded, or everything is dropped.
        StorageError: A store fails, or the temporary folder is full.
    """
    fps, numbers, watch = Fraction(str(options.fps)), list[int](), Watch()
    gpu = options.decode == "nvdec"
    film = find_film(video.location, stores, image_fps=shard.image_fps, threads=threads, gpu=gpu)
    crop = _crop(film) if options.crop_borders else None
    frames = JpegFrames(
        film,
        fps=fps,
        short_side=options.short_side,
        quality=options.jpeg_quality,
        crop=crop,
        threads=threads,
        watcher=watch,
    )
    with spool() as spooled:
        for number, jpeg in frames:
            numbers.append(number)
            spooled.append(jpeg)
            progress(1)

        def frame(number: int) -> Image.Image:
            return Image.open(io.BytesIO(spooled.read(bisect_left(numbers, number)))).convert("RGB")

        stretches = watch.stretches(numbers[-1] + 1, frame)
        kept = _kept(numbers, [stretch for stretch in stretches if stretch.kind in options.drop], video.review, fps)
        reading = _reading(
            film,
            video,
            dataset=shard.dataset,
            crop=crop,
            findings=tuple(_finding(stretch, frame(stretch.shown), fps) for stretch in stretches),
            dropped=tuple(_span(part, fps) for part in _runs(np.array(numbers)[~kept])),
            judged=watch.judged,
        )
        parts = tuple(_runs(np.array(numbers)[kept]))
        yield Taken(parts, frames.width, frames.height, reading, (spooled.read(int(at)) for at in np.flatnonzero(kept)))


def _crop(film: Film) -> Crop | None:
    border = find_border(film)
    return None if border is None else Crop(**vars(border.box), thumbnail=_small(Image.fromarray(border.shown)))


def _kept(
    numbers: Sequence[int], unwanted: Iterable[Stretch], review: Iterable[Decision], fps: Fraction
) -> npt.NDArray[np.bool_]:
    """Which frames are kept: those of no unwanted stretch, unless the review says otherwise."""
    kept = np.ones(len(numbers), bool)
    for stretch in unwanted:
        kept[bisect_left(numbers, stretch.first) : bisect_left(numbers, stretch.stop)] = False
    for decision in review:
        first, stop = (_first_from(second, fps) for second in (decision.start, decision.stop))
        kept[bisect_left(numbers, first) : bisect_left(numbers, stop)] = decision.keep
    if not kept.any():
        kinds = ", ".join(sorted({stretch.kind for stretch in unwanted})) or "by the review"
        raise VideoError(f"all of its {len(numbers)} frames are dropped: {kinds}")
    return kept


def _first_from(second: float, fps: Fraction) -> int:
    """The number of the first frame at a second or after it; most frames' seconds are not quite what a float says."""
    return math.ceil(round(Fraction(second) * fps, 2))


def _reading(
    film: Film,
    video: PlannedVideo,
    *,
    dataset: str,
    crop: Crop | None,
    findings: tuple[Finding, ...],
    dropped: tuple[Span, ...],
    judged: bool,
) -> Reading:
    header = film.header()
    return Reading(
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
    )


def _finding(stretch: Stretch, image: Image.Image, fps: Fraction) -> Finding:
    return Finding(
        kind=stretch.kind,
        start=float(stretch.first / fps),
        stop=float(stretch.stop / fps),
        score=round(stretch.score, 3),
        thumbnail=_small(image if stretch.box is None else image.crop(_around(stretch.box, image.size))),
    )


def _around(box: Rectangle, size: tuple[int, int]) -> Rectangle:
    """A box with room on all sides, so that its surroundings are seen."""
    left, top, right, bottom = box
    room = bottom - top
    return max(0, left - 4 * room), max(0, top - room), min(size[0], right + 4 * room), min(size[1], bottom + room)


def _small(image: Image.Image) -> str:
    """A small copy as JPEG, in base64."""
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=THUMBNAIL_QUALITY)
    return base64.b64encode(file.getvalue()).decode()


def _span(part: Part, fps: Fraction) -> Span:
    return Span(start=float(part.first_frame / fps), stop=float((part.first_frame + part.num_frames) / fps))


def _runs(numbers: npt.NDArray[np.int64]) -> Iterator[Part]:
    """The runs of consecutive numbers among growing ones."""
    for run in np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1):
        if len(run):
            yield Part(first_frame=int(run[0]), num_frames=len(run))
