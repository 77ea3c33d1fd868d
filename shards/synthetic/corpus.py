"""`surgstream synth`: a small labelled surgical corpus, made, not downloaded.

Four invented datasets of three specialties are rendered from their seed: tissue under a moving endoscope, instruments
that come, work and leave, highlights, smoke and blood. The labels of every frame lie next to the videos; the corpus's
own README.md says how to read them. Same seed and length, same library versions: byte-identical files.
"""

import argparse
import contextlib
import csv
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import yaml

from surgstream.shards.errors import ShardError, StorageError
from surgstream.shards.synthetic.clock import stamp_frame_number
from surgstream.shards.synthetic.config import FPS, LONGEST, SHORTEST, SynthConfig
from surgstream.shards.synthetic.film import CLASSES, DEPTH_STEPS_PER_MILLIMETRE, RenderedFilm
from surgstream.shards.synthetic.procedures import DATASETS, Dataset
from surgstream.shards.synthetic.texture import between, key
from surgstream.shards.workers import ProgressCallback, cores, run_all

LICENCE = "CC0-1.0"
CORPUS_NAME = "corpus.yaml"
UNFINISHED = ".unfinished"
"""Folder in OUT for unfinished files. A killed run leaves it behind, and the next one removes it."""

PICTURE_CODEC = {"preset": "faster", "crf": "20", "g": "50", "mbtree": "0"}
"""A keyframe every two seconds. With its macroblock tree, x264 would write other bytes in each run."""

LOSSLESS_CODEC = {"level": "3"}

README = """\
# A synthetic surgical corpus

Made by `surgstream synth {command}`. In each dataset's folder:

- `videos/VIDEO.mp4`: H.264, {fps} frames a second.{clock}
- `labels/VIDEO.csv`: `second,phase,triplets`, a row for the frame shown at each second. Triplets are
  `instrument/verb/target` with `;` between them, one for every instrument in the picture; verb and target are
  `null_verb` and `null_target` while it only comes or goes.
- `masks/VIDEO.mkv`: FFV1 (lossless), a gray picture a frame. A pixel's value names its instrument (see below), or is 0.
- `depth/VIDEO.mkv`: FFV1 (lossless), a 16-bit gray picture a frame: distance along the optical axis in units of
  1/{steps} mm; 0 outside the disc.

Masks and depth open with PyAV: `[frame.to_ndarray() for frame in av.open("masks/VIDEO.mkv").decode(video=0)]`.

| value | instrument |
|---|---|
{classes}
"""


CLOCK = """\
 Squares in the corners spell the number of the frame, which
  `surgstream.shards.synthetic.clock.read_frame_number` reads."""


@dataclass(frozen=True, kw_only=True)
class VideoJob:
    """One video to make."""

    dataset: Dataset
    video: str
    seed: int
    num_frames: int
    frame_numbers: bool


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream synth`.

    Raises:
        ShardError: OUT is not empty, or a worker is killed.
        StorageError: OUT could not be written.
    """
    config = SynthConfig(
        seconds=words.seconds, seed=words.seed, times=words.times, frame_numbers=words.frame_numbers
    )
    sys.stdout.write(synthesize(words.out, config) + "\n")
    return 0


def synthesize(out: Path, config: SynthConfig) -> str:
    """Make the corpus, using every core; `corpus.yaml` appears last, once all is there.

    Args:
        out: Folder to make, or an empty one.
        config: Settings of the corpus.

    Returns:
        A summary of what was made.

    Raises:
        ShardError: `out` is not empty, or a worker is killed.
        StorageError: `out` could not be written.
    """
    jobs = plan(config)
    try:
        existed = out.exists()
        if existed and not _is_empty(out):
            raise ShardError(f"{out}: exists and is not empty; choose another folder or delete it")

        # Inside of OUT, so that renaming stays within one file system.
        folder = out / UNFINISHED
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            _make(jobs, folder)
            (folder / "README.md").write_text(_readme(config), encoding="utf-8")
            for path in folder.iterdir():
                path.rename(out / path.name)
            (folder / CORPUS_NAME).write_text(_corpus(jobs, config.times), encoding="utf-8")
            (folder / CORPUS_NAME).rename(out / CORPUS_NAME)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            # Fails where OUT holds the corpus.
            if not existed:
                with contextlib.suppress(OSError):
                    out.rmdir()
    except OSError as error:
        raise StorageError(f"{out}: could not write the corpus: {error.strerror}") from error

    num_bytes = sum(path.stat().st_size for path in out.rglob("*.mp4"))
    length = sum(job.num_frames for job in jobs) / FPS
    counts = f"{len(DATASETS)} datasets, {len(jobs)} videos, {length:.0f} seconds"
    return f"{out}: {counts}, {num_bytes / 1e6:.1f} MB of video"


def _is_empty(out: Path) -> bool:
    """Whether a path is a folder without anything but leftovers of a killed run."""
    return out.is_dir() and all(path.name == UNFINISHED for path in out.iterdir())


def plan(config: SynthConfig) -> list[VideoJob]:
    """Plan the videos to make, of unequal lengths around a mean."""
    videos = []
    for dataset in DATASETS:
        for i in range(config.times * dataset.num_videos):
            videos.append((dataset, f"{dataset.name}_{i + 1:02d}"))

    # Scaled to a mean of 1, so that `seconds` is the mean length.
    lengths = [between(key(config.seed, video, "length"), SHORTEST, LONGEST) for _, video in videos]
    shares = np.array(lengths) / np.mean(lengths)
    frames = [round(FPS * config.seconds * share) for share in shares]

    return [
        VideoJob(
            dataset=dataset,
            video=video,
            seed=config.seed,
            num_frames=num_frames,
            frame_numbers=config.frame_numbers,
        )
        for (dataset, video), num_frames in zip(videos, frames, strict=True)
    ]


def _make(jobs: list[VideoJob], folder: Path) -> None:
    for dataset in DATASETS:
        for kind in ("videos", "labels", "masks", "depth"):
            (folder / dataset.name / kind).mkdir(parents=True)

    frames = [job.num_frames for job in jobs]
    for _ in run_all(partial(write_video, folder), jobs, frames, workers=cores(), label="synth"):
        pass


def write_video(folder: Path, job: VideoJob, progress: ProgressCallback) -> None:
    """Write one video, its labels, masks and depth below a corpus's folder.

    Args:
        folder: The corpus's folder.
        job: The video.
        progress: Called after every frame.
    """
    dataset = job.dataset
    film = RenderedFilm(dataset, key(job.seed, job.video), job.num_frames / FPS)
    size = (dataset.width, dataset.height)
    place = folder / dataset.name
    pictures = place / "videos" / f"{job.video}.mp4"
    masks = place / "masks" / f"{job.video}.mkv"
    depth = place / "depth" / f"{job.video}.mkv"
    labels = place / "labels" / f"{job.video}.csv"

    with (
        _encoder(pictures, "libx264", "yuv420p", size, PICTURE_CODEC) as write_picture,
        _encoder(masks, "ffv1", "gray", size, LOSSLESS_CODEC) as write_mask,
        _encoder(depth, "ffv1", "gray16le", size, LOSSLESS_CODEC) as write_depth,
        labels.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["second", "phase", "triplets"])

        for number in range(job.num_frames):
            frame = film.frame(number / FPS)
            if job.frame_numbers:
                stamp_frame_number(frame.picture, number)
            write_picture(frame.picture, "rgb24")
            write_mask(frame.mask, "gray")
            write_depth(frame.depth, "gray16le")

            if number % FPS == 0:
                triplets = ";".join("/".join(triplet) for triplet in frame.triplets)
                table.writerow([number // FPS, frame.phase, triplets])
            progress(1)


@contextlib.contextmanager
def _encoder(
    path: Path, codec: str, pixel_format: str, size: tuple[int, int], options: dict[str, str]
) -> Iterator[Callable[[npt.NDArray[np.generic], str], None]]:
    """Open a video file and yield a function that adds a frame to it, given an array and its pixel format.

    The file's bytes depend on its frames alone: one thread, and nothing about the library or the time in its header.
    """
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(codec, rate=FPS, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        stream.codec_context.thread_count = 1
        num_written = 0

        def write(array: npt.NDArray[np.generic], array_format: str) -> None:
            nonlocal num_written
            frame = av.VideoFrame.from_ndarray(array, format=array_format)
            frame = frame.reformat(format=pixel_format)
            frame.pts = num_written
            frame.time_base = Fraction(1, FPS)
            container.mux(stream.encode(frame))
            num_written += 1

        yield write
        container.mux(stream.encode())  # frames that the encoder still holds


def _corpus(jobs: list[VideoJob], times: int) -> str:
    datasets = []
    for dataset in DATASETS:
        videos = [job.video for job in jobs if job.dataset is dataset]
        labels = f"{dataset.name}/labels/{{video}}.csv"
        datasets.append(
            {
                "name": dataset.name,
                "specialty": dataset.procedure.specialty,
                "procedure": dataset.procedure.name,
                "videos": f"{dataset.name}/videos/*.mp4",
                "hold_out": videos[-times * dataset.num_held_out :],
                "labels": {"phase": labels, "triplets": labels},
                "licence": LICENCE,
            }
        )

    return yaml.safe_dump({"datasets": datasets}, sort_keys=False)


def _readme(config: SynthConfig) -> str:
    classes = "\n".join(f"| {value} | {name} |" for name, value in CLASSES.items())
    command = f"--seconds {config.seconds:g} --seed {config.seed} --times {config.times}"
    command += "" if config.frame_numbers else " --no-frame-numbers"
    clock = CLOCK if config.frame_numbers else ""
    return README.format(
        command=command, clock=clock, fps=FPS, steps=DEPTH_STEPS_PER_MILLIMETRE, classes=classes
    )
