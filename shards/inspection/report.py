"""The report of a packed corpus: a page with every video's frames over time, and all that was found in it."""

import hashlib
import math
from collections.abc import Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.shards.errors import ManifestError
from surgstream.shards.format.checksummed import load_checksummed
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.names import MANIFEST_NAME, PLAN_NAME, QUARANTINE_NAME, READINGS_NAME
from surgstream.shards.format.quarantine import Quarantined
from surgstream.shards.format.records import RENAMED_KINDS, Finding, Span, VideoReport
from surgstream.shards.format.review import Decision, by_video
from surgstream.shards.inspection.filmed import write_pictures
from surgstream.shards.inspection.packed_frames import Placed, all_videos
from surgstream.shards.inspection.page import Section, draw_page
from surgstream.shards.inspection.sights import Sights
from surgstream.shards.inspection.summary import summarise
from surgstream.shards.storage.owner import owning
from surgstream.shards.storage.stores import Storage, open_storage
from surgstream.shards.video.sources import Film

Record = TypeVar("Record")

PICTURE_QUALITY = 80
MAX_SECONDS = 3600 * 100
"""Longest video that is packed."""

SHORT_FRAMES = 16
MUCH = 0.5
"""Share of a picture, or of a video, whose loss is worth a warning."""

VIDEOS_IN_FLIGHT = 8
"""Number of videos whose frames are read at a time."""


def write_report(storage: Storage, out: Path, films: Mapping[tuple[str, str], Film]) -> Path:
    """Write the report of a corpus that was packed, not staged: it needs the records of how videos were read.

    Args:
        storage: The corpus.
        out: The folder to write into; `index.html` there is the page.
        films: The known sources by dataset and id: they alone can show what was dropped.

    Returns:
        The page.

    Raises:
        ManifestError: There is no corpus, or no record of how its videos were read.
        StorageError: The store fails.
    """
    manifest = Manifest.load(storage)
    videos = {(each.shard.dataset, each.video.id): each for each in all_videos(manifest)}
    readings = {
        (reading.dataset, reading.video): _checked(reading, storage.uri)
        for reading in _records(VideoReport, storage, READINGS_NAME)
    }
    _check_complete(storage, videos.keys() - readings.keys())

    quarantine = {
        (each.dataset, each.video): each for each in _records(Quarantined, storage, QUARANTINE_NAME)
    }
    review = by_video(
        (each.dataset, each.video, Decision(start=each.start, stop=each.stop, keep=each.keep))
        for each in manifest.review
    )

    def section(key: tuple[str, str]) -> Section:
        reason = quarantine[key].reason if key in quarantine else "it is shorter than min_seconds"
        seen = _Seen(storage, manifest, readings[key], videos.get(key), films.get(key), reason)
        return seen.section(out, review.get(key, ()))

    # A video in quarantine that was read has been dropped as a whole, and has a section.
    failed = [
        (each, review.get(key, ())) for key, each in quarantine.items() if key not in readings
    ]
    num_dropped = len(quarantine) - len(failed)
    num_short = sum(reading.too_short for reading in readings.values())
    facts = _facts(manifest, storage, len(failed), num_dropped, num_short)
    shown = [key for key, reading in readings.items() if reading.dropped or key in videos]

    page = out / "index.html"
    with (
        owning(open_storage(str(out)), "writing a report"),
        ThreadPoolExecutor(VIDEOS_IN_FLIGHT) as pool,
        page.open("w", encoding="utf-8", errors="replace") as file,
    ):
        title = f"How {storage.uri} was packed"
        version = (storage.uri, _version(storage))
        file.writelines(draw_page(title, version, facts, failed, pool.map(section, shown)))
    return page


def _check_complete(storage: Storage, missing: Set[tuple[str, str]]) -> None:
    """Refuse a corpus with videos that have no record of how they were read."""
    if not missing:
        return

    staged = storage.size(READINGS_NAME) is None and storage.size(PLAN_NAME) is None
    remedy = "report on the corpus that this one was staged from" if staged else "pack it again"
    raise ManifestError(
        f"{storage.uri}: {READINGS_NAME}: expected how {'/'.join(min(missing))} was read, got "
        f"nothing; {remedy}"
    )


def _checked(reading: VideoReport, uri: str) -> VideoReport:
    """Return a reading if its stretches are plausible: the number of pictures grows with their length."""
    stretches: tuple[Span | Finding, ...] = (*reading.dropped, *reading.findings)
    for each in stretches:
        if each.stop is None or not 0 <= each.start < each.stop <= MAX_SECONDS:
            raise ManifestError(
                f"{uri}: {READINGS_NAME}: {reading.dataset}/{reading.video}: expected seconds of a "
                f"video, got {each.start} to {each.stop}; pack the corpus again"
            )
    return reading


def _version(storage: Storage) -> str:
    """Compute a digest of all records that the page shows."""
    names = (MANIFEST_NAME, READINGS_NAME, QUARANTINE_NAME)
    files = [storage.read(name) for name in names if storage.size(name) is not None]
    return hashlib.sha256(b"".join(files)).hexdigest()[:16]


@dataclass(frozen=True)
class _Seen:
    """The sources of a video's section. Where all of it is dropped, `placed` is None and `reason` says why."""

    storage: Storage
    manifest: Manifest
    reading: VideoReport
    placed: Placed | None
    film: Film | None
    reason: str

    def section(self, out: Path, review: tuple[Decision, ...]) -> Section:
        """Write its pictures, and describe it."""
        reading = self.reading
        name = f"{reading.dataset}/{reading.video}"
        folder = f"pictures/{name}"
        fps = self._fps()
        sights = Sights(self.storage, self.placed, reading, self.film, fps)
        filmed = write_pictures(sights, reading.findings, fps, out, folder)

        return Section(
            name=name,
            reading=reading,
            packed=self._packed(),
            seconds=max(reading.seconds or 0, sights.stop / fps),
            strip=filmed.strip,
            found=filmed.found,
            crop=self._write_crop(sights, out, f"{folder}/crop.jpg"),
            histogram=filmed.histogram,
            # After all pictures: only then is it known whether the source shows them.
            warnings=(*_warnings(self.placed, reading), *self._unseen(sights)),
            review=review,
        )

    def _write_crop(self, sights: Sights, out: Path, file: str) -> str | None:
        """Write a picture that shows the crop; return its file, or None where there is none."""
        image = None if self.reading.crop is None else sights.uncropped()
        if image is None:
            return None

        (out / file).parent.mkdir(parents=True, exist_ok=True)
        image.save(out / file, quality=PICTURE_QUALITY)
        return file

    def _fps(self) -> float:
        fps = self.placed.video.fps if self.placed else self.manifest.packing.get("fps")
        if not isinstance(fps, int | float) or not 0 < fps < math.inf:
            raise ManifestError(
                f"{self.storage.uri}: {MANIFEST_NAME}: packing.fps: expected a number, got {fps!r}"
            )
        return fps

    def _packed(self) -> str:
        if self.placed is None:
            return f"not packed: {self.reason}"

        video = self.placed.video
        parts = "in one part" if len(video.parts) == 1 else f"in {len(video.parts)} parts"
        return f"{video.num_frames:,} frames of {video.width}x{video.height}, {parts}"

    def _unseen(self, sights: Sights) -> Iterator[str]:
        if sights.missing and self.reading.dropped:
            yield f"what is dropped has no pictures here, since {sights.missing}"


def _warnings(placed: Placed | None, reading: VideoReport) -> Iterator[str]:
    """Say what a person should look at."""
    kinds = {each.kind for each in reading.findings}

    if "face" in kinds:
        yield "a face may be seen"
    if "writing" in kinds:
        yield "something is written into the picture all through the video: a name, a date?"
    if "out_of_body" in kinds:
        yield "there are views from outside of the body"
    if not reading.judged:
        yield (
            "most of it lacks the colours of tissue, so views from outside of the body were not "
            "looked for"
        )

    if reading.lost:
        yield f"{reading.lost_seconds:,.1f} seconds of it could not be decoded"
    if reading.changes:
        count = len(reading.changes)
        times = "once," if count == 1 else f"{count} times, first"
        first = reading.changes[0]
        yield (
            f"its pictures change {times} at {first.second:,.1f} s from {first.was} to "
            f"{first.now}; those that do not fill the frame are on black"
        )

    kept_seconds = placed.video.num_frames / placed.video.fps if placed else 0
    if reading.dropped_seconds > MUCH * (reading.dropped_seconds + kept_seconds):
        amount = "most" if placed else "all"
        yield f"{amount} of it is dropped: {reading.dropped_seconds:,.0f} seconds"
    if placed and placed.video.num_frames < SHORT_FRAMES:
        yield f"it has fewer than {SHORT_FRAMES} frames"

    crop = reading.crop
    if crop is not None:
        kept_pixels = (crop.right - crop.left) * (crop.bottom - crop.top)
        if kept_pixels < MUCH * reading.width * reading.height:
            yield "most of the picture is cropped"


def _facts(
    manifest: Manifest, storage: Storage, num_failed: int, num_dropped: int, num_short: int
) -> Iterator[str]:
    total = summarise(manifest, storage.uri, SHORT_FRAMES).total
    yield (
        f"Videos: {total.num_videos:,}, of {total.hours:,.2f} hours and {total.num_frames:,} "
        "frames."
    )
    yield (
        f"Videos that could not be packed: {num_failed:,}. Videos all of which is dropped: "
        f"{num_dropped:,}. Videos left out, since they are shorter than min_seconds: {num_short:,}."
    )

    told = {
        "split": "unknown",
        "fps": "unknown",
        "short_side": "unknown",
        "jpeg_quality": "unknown",
        **manifest.packing,
    }
    cropped = "" if told.get("crop_borders") else "not "
    # A manifest keeps the first names of kinds.
    kinds = str(told.get("drop") or "nothing").split(", ")
    dropped = ", ".join(RENAMED_KINDS.get(kind, kind) for kind in kinds)
    yield (
        f"Packed: the {told['split']} split, {told['fps']} frames a second, {told['short_side']} "
        f"pixels at the shorter side, JPEG quality {told['jpeg_quality']}. Borders are "
        f"{cropped}cropped. Dropped is {dropped}."
    )

    if "none" in str(manifest.packing.get("face_detector", "")):
        yield (
            "Faces were not looked for in all of it, since OpenCV was missing where it was packed."
        )
    yield (
        "Rules find what may be wrong, but not all of it. They miss masked faces and profiles, "
        "for example. Of views from outside they find 82 % in a recording of an operation, and 22 "
        "to 71 % in other videos and photographs. Look at the pictures, decide, save, and pack "
        "again with --review review.csv."
    )


def _records(kind: type[Record], storage: Storage, name: str) -> Iterator[Record]:
    """Read the lines of a report that packing wrote; none where there is no such file."""
    if storage.size(name) is None:
        return

    where = f"{storage.uri}: {name}"
    for line in storage.read(name).splitlines(keepends=True):
        try:
            yield build(kind, load_checksummed(line, where=where), where=where)
        except ConfigError as error:
            raise ManifestError(str(error)) from None
