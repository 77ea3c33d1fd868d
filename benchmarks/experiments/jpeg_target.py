"""The part of a masked autoencoder's pixel target that is JPEG's doing, and the cost of a frame.

`python -m surgstream.benchmarks.experiments.jpeg_target VIDEO FOLDER` writes `jpeg_target.json` there, and a table.
Sixteen frames, evenly spread over the video, are a clip. It is scaled as packing does, cut and resized as SurgVISTA's
recipe does, and its normalised pixels are compared with those of the same clip after packing's JPEG, which halves
chroma both ways (4:2:0), and after one that keeps it whole (4:4:4), which packing does not offer. The video is
compressed itself: what that has taken away is not seen here.
"""

import argparse
import io
import itertools
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from surgstream.benchmarks.support.harness import conditions
from surgstream.configs.files import write_atomically
from surgstream.configs.loading import load
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.picture import frame, to_image, to_jpeg
from surgstream.shards.video.sources import VideoFile
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.data.augmentation.windows import multi_scale_crop
from surgstream.trainer.models.embed import to_tubelets
from surgstream.trainer.objectives.pixels import normalise_pixels

RECIPE = Path(__file__).parents[2] / "configs" / "pretrain" / "surgvista_vitb.yaml"
QUALITIES = (75, 80, 85, 90, 95, 98)
SIDES = (256, 320)
CHROMAS = {"4:2:0": 2, "4:4:4": 0}
"""Qualities as Pillow counts them; the first is packing's."""

WINDOWS = 32


@dataclass(frozen=True, kw_only=True)
class Row:
    """The result of one way to pack.

    Attributes:
        short_side: Of a frame, in pixels.
        quality: Of its JPEG.
        chroma: How much of its colour is kept.
        frame_bytes: Mean size of the JPEGs.
        error: Mean squared error of the normalised pixels over their mean square: the share of the target's variance.
        median: The same of the median tubelet; those with little contrast have the most.
    """

    short_side: int
    quality: int
    chroma: str
    frame_bytes: float
    error: float
    median: float


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", type=Path)
    parser.add_argument("folder", type=Path)
    words = parser.parse_args()
    config = load(TrainConfig, RECIPE, [])
    rows = []
    for side in SIDES:
        rows += measure(frames_of(words.video, side, config), config)
    found = {**conditions(), "windows": WINDOWS, "rows": [asdict(row) for row in rows]}
    write_atomically(words.folder / "jpeg_target.json", json.dumps(found, indent=1) + "\n")
    print(table(rows))


def frames_of(video: Path, short_side: int, config: TrainConfig) -> list[Image.Image]:
    """A clip's frames as packing scales them, before any JPEG."""
    film = VideoFile(str(video), Stores(), threads=1)
    seconds = film.header().seconds
    if seconds is None:
        raise SystemExit(f"{video}: expected a video whose header tells its length")
    fps = config.objective.encoder.num_frames / seconds
    return [
        to_image(picture, frame(film.shape(picture), short_side))
        for _, picture in film.picked(Fraction(fps))
    ]


def measure(frames: Sequence[Image.Image], config: TrainConfig) -> list[Row]:
    """A row for each quality and chroma."""
    sizes = np.tile([frames[0].size], (WINDOWS, 1))
    windows = multi_scale_crop(config.data.augment.crop, config.seed, np.arange(WINDOWS), sizes)
    true = [target(frames, window, config) for window in windows]
    # Tubelets are normalised, so their mean is 0 and the mean square is the variance
    variance = torch.cat(true).square().mean()

    rows = []
    for quality, chroma in itertools.product(QUALITIES, CHROMAS):
        jpegs = [encoded(each, quality, chroma) for each in frames]
        decoded = [Image.open(io.BytesIO(jpeg)).convert("RGB") for jpeg in jpegs]
        seen = [target(decoded, window, config) for window in windows]
        # Of each tubelet of each window, as a share of the variance
        errors = (torch.cat(seen) - torch.cat(true)).square().mean(-1) / variance

        rows.append(
            Row(
                short_side=min(frames[0].size),
                quality=quality,
                chroma=chroma,
                frame_bytes=statistics.fmean(map(len, jpegs)),
                error=float(errors.mean()),
                median=float(errors.median()),
            )
        )

    return rows


def encoded(image: Image.Image, quality: int, chroma: str) -> bytes:
    """A JPEG; packing's own where its chroma is packing's."""
    if CHROMAS[chroma] == CHROMAS["4:2:0"]:
        return to_jpeg(image, quality)
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", quality=quality, subsampling=CHROMAS[chroma])
    return buffer.getvalue()


def target(frames: Sequence[Image.Image], window: np.ndarray, config: TrainConfig) -> Tensor:
    """The normalised pixels of all tubelets of a clip, (1, N, C t p p), in one window of its frames."""
    encoder = config.objective.encoder
    (left, top, right, bottom) = window.tolist()
    cut = np.stack([np.asarray(each)[top:bottom, left:right] for each in frames])
    planes = torch.from_numpy(cut).permute(0, 3, 1, 2)
    size = (encoder.image_size, encoder.image_size)
    resized = interpolate(planes, size, mode="bilinear", antialias=True)
    clip = (resized.float() / 255).permute(1, 0, 2, 3)[None]
    return normalise_pixels(to_tubelets(clip, encoder.tubelet_size, encoder.patch_size))[0]


def table(rows: Sequence[Row]) -> str:
    """Lay results out as Markdown."""
    lines = [
        "| short side | quality | chroma | kB a frame | error, share of the variance | of the "
        "median tubelet |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row.short_side} | {row.quality} | {row.chroma} | {row.frame_bytes / 1e3:.1f} | "
        f"{row.error:.3f} | {row.median:.3f} |"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
