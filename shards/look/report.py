"""The report of a packed corpus: a page with every video's frames over time, and all that was found in it."""

import argparse
import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from configs.errors import ConfigError
from configs.loading import build
from shards.errors import ManifestError
from shards.look.colours import histogram
from shards.look.frames import Placed
from shards.look.page import Section, draw_page
from shards.look.sheet import draw_sheet
from shards.look.strip import strip
from shards.look.summary import summarise
from shards.manifest import Manifest
from shards.packed import Reading
from shards.planned import Quarantined
from shards.review import Decision, Review
from shards.schema import QUARANTINE_NAME, READINGS_NAME
from shards.sealed import unseal
from shards.storage import Storage

Record = TypeVar("Record")

COLUMNS = 10
SHORT_FRAMES = 16
MUCH = 0.5
"""Share of a picture, or of a video, that is much to lose."""

VIDEOS_IN_FLIGHT = 8
"""Whose frames are read at a time."""


def report_folder(text: str) -> Path:
    """What `--report` means: a folder on this machine, since a browser opens the page.

    Raises:
        argparse.ArgumentTypeError: It is an address.
    """
    if "://" in text:
        raise argparse.ArgumentTypeError(f"expected a folder of this machine, got {text!r}; copy the report afterwards")
    return Path(text)


def write_report(storage: Storage, out: Path) -> Path:
    """Write the report of a corpus that was packed, not staged: it is about how videos were read.

    Args:
        storage: The corpus.
        out: The folder to write into; `index.html` there is the page.

    Returns:
        The page.

    Raises:
        ManifestError: There is no corpus, or no record of how its videos were read.
        StorageError: The store fails.
    """
    manifest = Manifest.load(storage)
    readings = {(each.dataset, each.video): each for each in _records(Reading, storage, READINGS_NAME)}
    quarantine = list(_records(Quarantined, storage, QUARANTINE_NAME))
    videos = [Placed(shard, video) for shard in manifest.shards for video in shard.videos]
    missing = next((each.name for each in videos if (each.shard.dataset, each.video.id) not in readings), None)
    if missing is not None:
        raise ManifestError(f"{storage.uri}: {READINGS_NAME}: expected how {missing} was read; pack the corpus again")
    review: Review = {}
    for each in manifest.review:
        key = each.dataset, each.video
        review[key] = (*review.get(key, ()), Decision(start=each.start, stop=each.stop, keep=each.keep))

    def section(placed: Placed) -> Section:
        key = placed.shard.dataset, placed.video.id
        return _section(storage, placed, readings[key], review.get(key, ()), out)

    out.mkdir(parents=True, exist_ok=True)
    page = out / "index.html"
    with ThreadPoolExecutor(VIDEOS_IN_FLIGHT) as pool, page.open("w", encoding="utf-8", errors="replace") as file:
        facts = _facts(manifest, storage, len(quarantine))
        failed = [(each, review.get((each.dataset, each.video), ())) for each in quarantine]
        file.writelines(draw_page(f"How {storage.uri} was packed", facts, failed, pool.map(section, videos)))
    return page


def _section(storage: Storage, placed: Placed, reading: Reading, review: tuple[Decision, ...], out: Path) -> Section:
    """Write a video's pictures, and describe it."""
    row = strip(storage, placed, COLUMNS)
    video, folder = placed.video, Path("pictures") / placed.name
    (out / folder).mkdir(parents=True, exist_ok=True)
    draw_sheet([row], COLUMNS, titled=False).save(out / folder / "strip.jpg", quality=80)

    def written(name: str, thumbnail: str) -> str:
        (out / folder / name).write_bytes(base64.b64decode(thumbnail))
        return str(folder / name)

    parts = "in one part" if len(video.parts) == 1 else f"in {len(video.parts)} parts"
    last = video.parts[-1]
    return Section(
        name=placed.name,
        reading=reading,
        packed=f"{video.num_frames:,} frames of {video.width}x{video.height}, {parts}",
        seconds=max(reading.seconds or 0, (last.first_frame + last.num_frames) / video.fps),
        warnings=tuple(_warnings(placed, reading)),
        strip=str(folder / "strip.jpg"),
        crop=None if reading.crop is None else written("crop.jpg", reading.crop.thumbnail),
        thumbnails=tuple(
            written(f"{number}_{each.kind}.jpg", each.thumbnail) for number, each in enumerate(reading.findings)
        ),
        histogram=histogram(image for image, _ in row.cells),
        review=review,
    )


def _warnings(placed: Placed, reading: Reading) -> Iterator[str]:
    """What a person should look at."""
    video = placed.video
    kinds = {each.kind for each in reading.findings}
    if "face" in kinds:
        yield "a face may be seen"
    if "writing" in kinds:
        yield "something is written into the picture all through the video: a name, a date?"
    if "outside" in kinds:
        yield "there are views from outside of the body"
    if not reading.judged:
        yield "most of it has not the colours of tissue, so views from outside of the body were not looked for"
    if reading.lost:
        yield f"{reading.lost_seconds:,.1f} seconds of it could not be decoded"
    seconds = video.num_frames / video.fps
    if reading.dropped_seconds > MUCH * (reading.dropped_seconds + seconds):
        yield f"most of it is dropped: {reading.dropped_seconds:,.0f} seconds"
    if video.num_frames < SHORT_FRAMES:
        yield f"it has fewer than {SHORT_FRAMES} frames"
    crop = reading.crop
    if crop is not None and (crop.right - crop.left) * (crop.bottom - crop.top) < MUCH * reading.width * reading.height:
        yield "most of the picture is cropped"


def _facts(manifest: Manifest, storage: Storage, num_quarantined: int) -> Iterator[str]:
    total = summarise(manifest, storage.uri, SHORT_FRAMES).total
    yield f"{total.num_videos:,} videos, {total.hours:,.2f} hours, {total.num_frames:,} frames."
    yield f"{num_quarantined:,} videos could not be packed." if num_quarantined else "All videos could be packed."
    options = ("split", "fps", "short_side", "jpeg_quality", "crop_borders", "drop")
    yield "Packed with " + ", ".join(f"{name}={manifest.packing.get(name) or 'nothing'}" for name in options) + "."
    if "opencv" not in manifest.packing:
        yield "Faces were not looked for, since OpenCV was not installed: pip install 'surgstream[faces]'."
    yield (
        "Rules find what may be wrong, and not all that is: masked faces, say, and profiles they do not. Look at the "
        "pictures, decide, save, and pack again with --review review.csv."
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
