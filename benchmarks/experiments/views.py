"""The rules for frames outside of the body: recall, false alarms, and the time of a look.

`python -m surgstream.benchmarks.experiments.views FOLDER` writes `views.json` there, and a table. FOLDER holds
checkouts of the public repositories in `SOURCES`, as OWNER+NAME, and a corpus of `surgstream synth` as `synthetic`; a
source that is not there is named as missing. Pictures are looked at as packing does, 256 lines high, and videos once a
second.
"""

import argparse
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from surgstream.benchmarks.support.harness import conditions
from surgstream.configs.columns import markdown
from surgstream.configs.files import write_atomically
from surgstream.shards.screening.frame_scores import Kind, Pixels, kind_of, score_frame
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.frames import JpegFrames
from surgstream.shards.video.picture import packed_size
from surgstream.shards.video.sources import VideoFile

LINES = 256
PREDICTION = (
    "Recordings of operations: 0.8 of the views from outside or more, 0.73 before; no alarm. "
    "Faces: 0.4, 0.2 before. The factors of the rule were chosen on these sources, but for 1,000 "
    "of the faces, so this is no test of another hospital's."
)
SURGICAL = "2"
"""The class of the surgical field among the labels of the recordings."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Pictures and videos of one kind.

    Attributes:
        name: The kind of pictures.
        folder: Their folder in FOLDER, OWNER+NAME of a repository.
        commit: The commit of the repository.
        licence: The licence that the repository states.
        files: Patterns, relative to `folder`.
        outside: Whether they were taken outside of the body.
        labelled: Whether labels that come with the pictures tell which are.
    """

    name: str
    folder: str
    commit: str
    licence: str
    files: tuple[str, ...]
    outside: bool
    labelled: bool = False


OPERATIONS = Source(
    name="operations, 6 recordings",
    folder="yousskad+Informative-vs-Uninformative-Surgical-Video-Frame-Classification",
    commit="8afa089570",
    licence="CC BY 4.0",
    files=("source_code/model-training-files/datasets/**/images/*.jpg",),
    outside=False,
    labelled=True,
)
SOURCES = (
    OPERATIONS,
    Source(
        name="colonoscopy (Kvasir-SEG)",
        folder="ivezakis+effisegnet",
        commit="82503a5230",
        licence="MIT",
        files=("Kvasir-SEG/*/images/*.jpg",),
        outside=False,
    ),
    Source(
        name="sinuses",
        folder="lppllppl920+EndoscopyDepthEstimation-Pytorch",
        commit="bc32e07ea2",
        licence="GPL-3.0",
        files=("example_training_data_root/**/0*.jpg",),
        outside=False,
    ),
    Source(
        name="cholecystectomy",
        folder="RViMLab+endoscopy",
        commit="d393e3bf90",
        licence="MIT",
        files=("data/endo.mp4",),
        outside=False,
    ),
    Source(
        name="robotic surgery",
        folder="jlee17+iot-devcloud",
        commit="7c8754856b",
        licence="none stated",
        files=("python/developer_samples/surgery-segmentation-python/data/*.mp4",),
        outside=False,
    ),
    Source(
        name="synthetic surgery",
        folder="synthetic",
        commit="",
        licence="CC0-1.0",
        files=("*/videos/*.mp4",),
        outside=False,
    ),
    replace(OPERATIONS, name="people, in a seventh recording", outside=True),
    Source(
        name="rooms, streets, gestures",
        folder="intel-iot-devkit+sample-videos",
        commit="5797889082",
        licence="CC BY 4.0",
        files=("*.mp4", "asl_gestures/*.mkv"),
        outside=True,
    ),
    Source(
        name="people at home and outdoors",
        folder="open-mmlab+mmaction2",
        commit="4d6c934747",
        licence="Apache-2.0",
        files=(
            "demo/demo.mp4",
            "demo/demo_spatiotemporal_det.mp4",
            "demo/test_video*.mp4",
            "tests/data/test.*",
        ),
        outside=True,
    ),
    Source(
        name="portraits",
        folder="ageitgey+face_recognition",
        commit="2e2dccea9d",
        licence="MIT",
        files=("examples/**/*.jpg", "tests/test_images/*.jpg"),
        outside=True,
    ),
    Source(
        name="faces, half of them masked",
        folder="prajnasb+observations",
        commit="cdcf4501bf",
        licence="none stated",
        files=("experiements/data/*/*.jpg",),
        outside=True,
    ),
    Source(
        name="photographs of anything (ImageNet)",
        folder="EliSchwartz+imagenet-sample-images",
        commit="bc69043e28",
        licence="none stated",
        files=("*.JPEG",),
        outside=True,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """The findings in a source: looks by kind, and CPU seconds of a look; nothing if the source is missing."""

    source: Source
    num_looks: int
    kinds: dict[str, int]
    seconds: float

    @property
    def share_outside(self) -> float:
        """Recall of a source from outside, false alarms of the others."""
        return self.kinds.get(Kind.OUT_OF_BODY, 0) / max(1, self.num_looks)


class Pictures:
    """Keeps the frames that packing would look at; see `shards.video.frames.FrameObserver`."""

    def __init__(self) -> None:
        self.seen: list[Pixels] = []

    def score(self, image: Image.Image) -> Pixels:
        """The frame's pixels."""
        return np.asarray(image)

    def add(self, number: int, seen: Pixels) -> None:
        """Keep them."""
        self.seen.append(seen)


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    words = parser.parse_args()
    rows = [measure(source, words.folder) for source in SOURCES]
    print(table(rows))
    found = {**conditions(), "prediction": PREDICTION, "rows": [asdict(row) for row in rows]}
    write_atomically(words.folder / "views.json", json.dumps(found, indent=1) + "\n")


def measure(source: Source, folder: Path) -> Row:
    """Look at all of a source."""
    kinds: dict[str, int] = {}
    num_looks = 0
    seconds = 0.0
    paths = {*itertools.chain.from_iterable(map((folder / source.folder).glob, source.files))}
    for path in sorted(paths):
        if source.labelled and is_outside(path) != source.outside:
            continue
        for pixels in looks(path):
            began = time.process_time()
            kind = str(kind_of(score_frame(pixels)) or "operation")
            seconds += time.process_time() - began
            kinds[kind] = kinds.get(kind, 0) + 1
            num_looks += 1
    return Row(source=source, num_looks=num_looks, kinds=kinds, seconds=seconds / max(1, num_looks))


def is_outside(picture: Path) -> bool | None:
    """Whether a labelled picture shows people and nothing of the operation; None where it is a slide."""
    labels = picture.parent.parent / "labels" / f"{picture.stem}.txt"
    classes = {
        line.split()[0] for line in labels.read_text(encoding="utf-8").splitlines() if line.strip()
    }
    if SURGICAL in classes:
        return False
    return True if "1" in classes else None


def looks(path: Path) -> Iterator[Pixels]:
    """The frames that packing would look at: a picture, or one a second of a video."""
    if path.suffix.lower() in (".jpg", ".jpeg"):
        with Image.open(path) as image:
            yield np.asarray(image.convert("RGB").resize(packed_size(*image.size, LINES)))
        return
    pictures = Pictures()
    for _ in JpegFrames(
        VideoFile(str(path), Stores()),
        fps=Fraction(1),
        short_side=LINES,
        quality=85,
        watcher=pictures,
    ):
        pass
    yield from pictures.seen


def table(rows: list[Row]) -> str:
    """Lay rows out as Markdown."""
    lines = [
        ("shown", "looks", "taken for outside", "for black, blank, text or a card", "ms a look")
    ]

    for row in rows:
        if not row.num_looks:
            lines.append((row.source.name, "missing", "", "", ""))
            continue
        others = row.num_looks - row.kinds.get(Kind.OUT_OF_BODY, 0) - row.kinds.get("operation", 0)
        cells = (
            row.source.name,
            f"{row.num_looks:,}",
            f"{row.share_outside:.1%}",
            str(others),
            f"{1e3 * row.seconds:.2f}",
        )
        lines.append(cells)

    return markdown(lines)


if __name__ == "__main__":
    main()
