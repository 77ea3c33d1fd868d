"""The report of a packed corpus: a page with every video's frames over time, and all that was found in it."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.shards.errors import ManifestError
from surgstream.shards.format.checksummed import unseal
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.names import MANIFEST_NAME, PLAN_NAME, QUARANTINE_NAME, READINGS_NAME
from surgstream.shards.format.quarantine import Quarantined
from surgstream.shards.format.records import Finding, Reading, Span
from surgstream.shards.format.review import Decision, by_video
from surgstream.shards.inspection.filmed import write_pictures
from surgstream.shards.inspection.packed_frames import Placed
from surgstream.shards.inspection.page import Section, draw_page
from surgstream.shards.inspection.sights import Sights
from surgstream.shards.inspection.summary import summarise
from surgstream.shards.storage.owner import owning
from surgstream.shards.storage.stores import Storage, open_storage
from surgstream.shards.video.sources import Film

Record = TypeVar("Record")

PICTURE_QUALITY = 80
LONGEST_SECONDS = 3600 * 100
"""No video that is packed is longer."""

SHORT_FRAMES = 16
MUCH = 0.5
"""Share of a picture, or of a video, that is much to lose."""

VIDEOS_IN_FLIGHT = 8
"""Whose frames are read at a time."""


def write_report(storage: Storage, out: Path, films: Mapping[tuple[str, str], Film]) -> Path:
    """Write the report of a corpus that was packed, not staged: it is about how videos were read.

    Args:
        storage: The corpus.
        out: The folder to write into; `index.html` there is the page.
        films: The sources that are known, by dataset and id: what was dropped is seen nowhere else.

    Returns:
        The page.

    Raises:
        ManifestError: There is no corpus, or no record of how its videos were read.
        StorageError: The store fails.
    """
    manifest = Manifest.load(storage)
    videos = {
        (shard.dataset, video.id): Placed(shard, video)
        for shard in manifest.shards
        for video in shard.videos
    }
    readings = [_checked(each, storage.uri) for each in _records(Reading, storage, READINGS_NAME)]
    missing = videos.keys() - {(reading.dataset, reading.video) for reading in readings}
    if missing:
        staged = storage.size(READINGS_NAME) is None and storage.size(PLAN_NAME) is None
        raise ManifestError(
            f"{storage.uri}: {READINGS_NAME}: expected how {'/'.join(min(missing))} was read, got "
            "nothing; "
            + ("report on the corpus that this one was staged from" if staged else "pack it again")
        )

    quarantine = {
        (each.dataset, each.video): each for each in _records(Quarantined, storage, QUARANTINE_NAME)
    }
    review = by_video(
        (each.dataset, each.video, Decision(start=each.start, stop=each.stop, keep=each.keep))
        for each in manifest.review
    )

    def section(reading: Reading) -> Section:
        key = reading.dataset, reading.video
        reason = quarantine[key].reason if key in quarantine else "it is shorter than min_seconds"
        seen = _Seen(storage, manifest, reading, videos.get(key), films.get(key), reason)
        return seen.section(out, review.get(key, ()))

    page = out / "index.html"
    with (
        owning(open_storage(str(out)), "writing a report"),
        ThreadPoolExecutor(VIDEOS_IN_FLIGHT) as pool,
        page.open("w", encoding="utf-8", errors="replace") as file,
    ):
        read = {(reading.dataset, reading.video) for reading in readings}
        # What is in quarantine although it was read has been dropped as a whole
        failed = [
            (each, review.get(key, ())) for key, each in quarantine.items() if key not in read
        ]
        too_short = sum(reading.too_short for reading in readings)
        facts = _facts(manifest, storage, len(failed), len(quarantine) - len(failed), too_short)
        key = storage.uri, _version(storage)
        title = f"How {storage.uri} was packed"
        shown = [each for each in readings if each.dropped or (each.dataset, each.video) in videos]
        file.writelines(draw_page(title, key, facts, failed, pool.map(section, shown)))
    return page


def _checked(reading: Reading, uri: str) -> Reading:
    """The same, if its stretches are such: as many pictures are made as they are long."""
    stretches: tuple[Span | Finding, ...] = (*reading.dropped, *reading.findings)
    for each in stretches:
        if each.stop is None or not 0 <= each.start < each.stop <= LONGEST_SECONDS:
            raise ManifestError(
                f"{uri}: {READINGS_NAME}: {reading.dataset}/{reading.video}: expected seconds of a "
                f"video, got {each.start} to {each.stop}; pack the corpus again"
            )
    return reading


def _version(storage: Storage) -> str:
    """Changes with all that the page is about."""
    names = (MANIFEST_NAME, READINGS_NAME, QUARANTINE_NAME)
    files = [storage.read(name) for name in names if storage.size(name) is not None]
    return hashlib.sha256(b"".join(files)).hexdigest()[:16]


@dataclass(frozen=True)
class _Seen:
    """A video, and what the report can tell of it: `placed` is None where all is dropped, for a reason."""

    storage: Storage
    manifest: Manifest
    reading: Reading
    placed: Placed | None
    film: Film | None
    reason: str

    def section(self, out: Path, review: tuple[Decision, ...]) -> Section:
        """Write its pictures, and describe it."""
        reading, placed = self.reading, self.placed
        name, fps = f"{reading.dataset}/{reading.video}", self._fps()
        folder = f"pictures/{name}"
        sights = Sights(self.storage, placed, reading, self.film, fps)
        filmed = write_pictures(sights, reading.findings, fps, out, folder)

        crop = None
        if reading.crop is not None and (image := sights.uncropped()) is not None:
            crop = f"{folder}/crop.jpg"
            (out / crop).parent.mkdir(parents=True, exist_ok=True)
            image.save(out / crop, quality=PICTURE_QUALITY)

        return Section(
            name=name,
            reading=reading,
            packed=self._packed(),
            seconds=max(reading.seconds or 0, sights.stop / fps),
            warnings=(*_warnings(placed, reading), *self._unseen(sights)),
            strip=filmed.strip,
            found=filmed.found,
            crop=crop,
            histogram=filmed.histogram,
            review=review,
        )

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


def _warnings(placed: Placed | None, reading: Reading) -> Iterator[str]:
    """What a person should look at."""
    kinds = {each.kind for each in reading.findings}

    if "face" in kinds:
        yield "a face may be seen"
    if "writing" in kinds:
        yield "something is written into the picture all through the video: a name, a date?"
    if "outside" in kinds:
        yield "there are views from outside of the body"
    if not reading.judged:
        yield (
            "most of it has not the colours of tissue, so views from outside of the body were not "
            "looked for"
        )

    if reading.lost:
        yield f"{reading.lost_seconds:,.1f} seconds of it could not be decoded"
    if reading.changes:
        first = reading.changes[0]
        yield (
            "its pictures change "
            f"{'once,' if len(reading.changes) == 1 else f'{len(reading.changes)} times, first'} "
            f"at {first.second:,.1f} s from {first.was} to {first.now}; those that do not fill the "
            "frame are on black"
        )

    frames = placed.video.num_frames if placed else 0
    seconds = frames / placed.video.fps if placed else 0
    if reading.dropped_seconds > MUCH * (reading.dropped_seconds + seconds):
        yield (
            f"{'most' if placed else 'all'} of it is dropped: {reading.dropped_seconds:,.0f} "
            "seconds"
        )
    if placed and frames < SHORT_FRAMES:
        yield f"it has fewer than {SHORT_FRAMES} frames"

    crop = reading.crop
    if (
        crop is not None
        and (crop.right - crop.left) * (crop.bottom - crop.top)
        < MUCH * reading.width * reading.height
    ):
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
    yield (
        f"Packed: the {told['split']} split, {told['fps']} frames a second, {told['short_side']} "
        f"pixels at the shorter side, JPEG quality {told['jpeg_quality']}. Borders are "
        f"{cropped}cropped. Dropped is {told.get('drop') or 'nothing'}."
    )

    if "none" in str(manifest.packing.get("face_detector", "")):
        yield (
            "Faces were not looked for in all of it, since OpenCV was missing where it was packed."
        )
    yield (
        "Rules find what may be wrong, and not all that is: masked faces, say, and profiles they "
        "do not, and of views from outside 82 % in a recording of an operation, 22 to 71 % in "
        "other videos and photographs. Look at the pictures, decide, save, and pack again with "
        "--review review.csv."
    )


def _records(kind: type[Record], storage: Storage, name: str) -> Iterator[Record]:
    """The lines of a report that packing wrote; none where there is no such file."""
    if storage.size(name) is None:
        return
    where = f"{storage.uri}: {name}"
    for line in storage.read(name).splitlines(keepends=True):
        try:
            yield build(kind, unseal(line, where=where), where=where)
        except ConfigError as error:
            raise ManifestError(str(error)) from None
