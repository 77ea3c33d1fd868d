"""Clips to normalised tensors (3, 16, 224, 224): the loader's own decoder, other decoders, and other payloads."""

import importlib
import itertools
import os
from pathlib import Path

import torch

from surgstream.benchmarks.peers import dali_video
from surgstream.benchmarks.support.clip_work import ClipWork
from surgstream.benchmarks.support.harness import Case
from surgstream.benchmarks.support.material import IMAGE_SIZE, NUM_FRAMES
from surgstream.trainer.data.config import DecodeConfig
from surgstream.trainer.data.decode import ClipDecoder
from surgstream.trainer.host.cores import cores_of_rank

NUM_CLIPS = 16
VIDEO_FRAMES = 640
PEERS = ("opencv", "turbojpeg", "pillow", "torchcodec", "decord", "pyav")


def cases(folder: Path) -> list[Case]:
    """All decoders on all cores; those of JPEGs on one thread as well."""
    work = ClipWork.make(folder, num_clips=NUM_CLIPS, video_frames=VIDEO_FRAMES)
    on_gpu = torch.cuda.is_available()
    threads = cores_of_rank(os.environ)
    found = [ours(work, "cpu", threads), ours(work, "cpu", 1)]
    if on_gpu:
        found.append(ours(work, "gpu", threads))
    else:
        found.append(Case("DALI on the GPU, JPEG bytes", "clips", None, "needs a GPU"))

    found += dali_video.cases(work, on_gpu=on_gpu, threads=threads)
    for peer in PEERS:
        found += peer_cases(work, peer, threads)
    return found


def ours(work: ClipWork, place: str, threads: int) -> Case:
    """The decoder that the loader has, into the memory of the place where it decodes."""
    decoder = ClipDecoder(
        DecodeConfig(device=place, threads=threads),  # type: ignore[arg-type]
        max_clips=len(work.clips),
        num_frames=NUM_FRAMES,
        image_size=IMAGE_SIZE,
        device=torch.device("cuda", 0) if place == "gpu" else torch.device("cpu"),
    )
    frames = [*itertools.chain.from_iterable(clip.frames for clip in work.clips)]

    def run() -> int:
        return decoder.decode(frames, work.transform).shape[0]

    plural = "" if threads == 1 else "s"
    name = f"DALI on the {place.upper()}, JPEG bytes, {threads} thread{plural}"
    return Case(name, "clips", run)


def peer_cases(work: ClipWork, peer: str, threads: int) -> list[Case]:
    """A case for each way of a peer, or one that says why it cannot run here."""
    try:
        readers = importlib.import_module(f"surgstream.benchmarks.peers.{peer}").readers(work)
    # torchcodec raises any of the three for a lack of FFmpeg's libraries
    except (ImportError, OSError, RuntimeError) as error:
        return [Case(peer, "clips", None, missing=str(error).strip().splitlines()[0])]

    found = []
    for name, read in readers.items():
        counts = (threads, 1) if "JPEG" in name else (threads,)
        found += [work.case(name, read, count) for count in counts]
    return found
