"""`surgstream synth`: a small labelled surgical corpus, made, not downloaded.

Invented datasets are rendered from their seed: tissue under a moving endoscope, instruments that come, work and leave,
highlights, smoke and blood. Four are of operations, to train on; clips of single actions and exercises of surgeons are
only judged by. Labels lie next to the videos; the corpus's own README.md says how to read them. Same seed and length,
same library versions: byte-identical files.
"""

import argparse
import contextlib
import csv
import shutil
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from surgstream.shards.errors import ShardError, StorageError
from surgstream.shards.synthetic.clock import stamp_frame_number
from surgstream.shards.synthetic.config import FPS, SynthConfig
from surgstream.shards.synthetic.description import (
    CORPUS_NAME,
    EVALUATION_NAME,
    README_NAME,
    corpus_file,
    evaluation_file,
    readme,
    write_facts,
)
from surgstream.shards.synthetic.film import RenderedFilm
from surgstream.shards.synthetic.planning import VideoJob, plan
from surgstream.shards.synthetic.texture import key
from surgstream.shards.workers import ProgressCallback, cores, run_all

UNFINISHED = ".unfinished"
"""Folder in OUT for unfinished files. A killed run leaves it behind, and the next one removes it."""

PICTURE_CODEC = {"preset": "faster", "crf": "20", "g": "50", "mbtree": "0"}
"""A keyframe every two seconds. With its macroblock tree, x264 would write other bytes in each run."""

LOSSLESS_CODEC = {"level": "3"}


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream synth`.

    Raises:
        ShardError: OUT is not empty, or a worker is killed.
        StorageError: OUT could not be written.
    """
    config = SynthConfig(
        datasets=words.datasets,
        seconds=words.seconds,
        seed=words.seed,
        times=words.times,
        frame_numbers=words.frame_numbers,
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
        ConfigError: There is no dataset of one of the names.
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
            write_facts(folder, jobs)
            (folder / README_NAME).write_text(readme(jobs, config), encoding="utf-8")
            (folder / EVALUATION_NAME).write_text(evaluation_file(jobs), encoding="utf-8")
            for path in folder.iterdir():
                path.rename(out / path.name)
            (folder / CORPUS_NAME).write_text(corpus_file(jobs, config.times), encoding="utf-8")
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
    datasets = {job.dataset.name for job in jobs}
    noun = "dataset" if len(datasets) == 1 else "datasets"
    counts = f"{len(datasets)} {noun}, {len(jobs)} videos, {length:.0f} seconds"
    return f"{out}: {counts}, {num_bytes / 1e6:.1f} MB of video"


def _is_empty(out: Path) -> bool:
    """Whether a path is a folder without anything but leftovers of a killed run."""
    return out.is_dir() and all(path.name == UNFINISHED for path in out.iterdir())


def _make(jobs: list[VideoJob], folder: Path) -> None:
    for dataset in {job.dataset.name for job in jobs}:
        for kind in ("videos", "labels", "masks", "depth"):
            (folder / dataset / kind).mkdir(parents=True)

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
    parent = key(job.seed, job.video)
    film = RenderedFilm(dataset, parent, job.num_frames / FPS, job.take)
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
