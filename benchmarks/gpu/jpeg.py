"""Cropped regions of JPEGs decoded by nvImageCodec as DALI calls it: crashes, pixels, and rate.

Each case is a child process, since a decoder that crashes takes its process along. `--site FOLDER` takes the
nvImageCodec that lies in a folder, another version say, rather than the installed one.
"""

import argparse
import io
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from surgstream.benchmarks.gpu.findings import ON_GPU, report

WIDTH, HEIGHT = 569, 320
NUM_JPEGS = 64
SIDES = (320, 280, 240, 211)
"""Sides of the published crop's windows, in pixels."""

_SECONDS = 2.0 if ON_GPU else 0.5
_CHILD_SECONDS = 25
_THREADS = 12
_EDGE = 2
"""Pixels along a region's edge that need not be those of the whole frame: chroma is interpolated across the edge."""

BACKENDS = {
    "dali": (("HW_GPU_ONLY", 0.65), ("GPU_ONLY", 1.0), ("HYBRID_CPU_GPU", 1.0), ("CPU_ONLY", 1.0)),
    "no_hardware": (("GPU_ONLY", 1.0), ("HYBRID_CPU_GPU", 1.0), ("CPU_ONLY", 1.0)),
    "hardware": (("HW_GPU_ONLY", 1.0), ("CPU_ONLY", 1.0)),
    "cpu": (("CPU_ONLY", 1.0),),
}
"""Decoders in the order in which nvImageCodec asks them, each with the share of a batch that it may take."""

GPU_CASES = (
    ("dali", 64, "regions"),
    ("dali", 1024, "regions"),
    ("no_hardware", 1024, "regions"),
    ("hardware", 1024, "regions"),
    ("dali", 1024, "frames"),
    ("no_hardware", 1024, "frames"),
)
CPU_CASES = (("cpu", 64, "regions"), ("cpu", 64, "frames"))

Window = tuple[int, int, int, int]


def made_jpegs() -> list[bytes]:
    """JPEGs of blurred colours with some noise, of the size that 16:9 videos are packed in."""
    random = np.random.default_rng(0)
    encoded = []
    for _ in range(NUM_JPEGS):
        colours = random.integers(0, 255, (20, 36, 3), np.uint8)
        blurred = Image.fromarray(colours).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        noise = random.normal(0, 6, (HEIGHT, WIDTH, 3))
        pixels = np.clip(np.asarray(blurred, np.int16) + noise, 0, 255).astype(np.uint8)

        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=85)
        encoded.append(buffer.getvalue())
    return encoded


def nvimgcodec_from(site: str | None) -> Any:
    """The nvImageCodec that lies in a folder, whatever else is called `nvidia`; the installed one for None."""
    if site:
        sys.path.insert(0, site)
        sys.modules.pop("nvidia", None)
    return import_module("nvidia.nvimgcodec")


def decode_case(site: str | None, backends: str, batch: int, what: str) -> None:
    """Decode batches of one case for some seconds, and report how it went."""
    codec = nvimgcodec_from(site)
    decoder = _decoder(codec, backends, batch)
    jpegs = made_jpegs()
    frames = [codec.CodeStream(jpegs[number % len(jpegs)]) for number in range(batch)]
    windows = _windows(batch)

    streams = frames
    if what == "regions":
        streams = [
            frame.get_sub_code_stream(region=codec.Region(*window))
            for frame, window in zip(frames, windows, strict=True)
        ]

    images = decoder.decode(streams)
    num_failed = sum(image is None for image in images)
    difference = None
    if what == "regions" and not num_failed:
        whole = decoder.decode(frames[:NUM_JPEGS])
        difference = _largest_difference(images[:NUM_JPEGS], whole, windows)

    rate, cores = _rate(decoder, streams)
    report(
        nvimgcodec=codec.__version__,
        backends=backends,
        batch=batch,
        what=what,
        failed_images=num_failed,
        largest_difference=difference,
        images_per_s=round(rate),
        cores=round(cores, 1),
    )


def _decoder(codec: Any, backends: str, batch: int) -> Any:
    """A decoder as DALI configures its own."""
    options = (
        "nvjpeg_cuda_decoder:fancy_upsampling=0 nvjpeg_hw_decoder:fancy_upsampling=0 "
        f"nvjpeg_hw_decoder:preallocate_batch_size={batch}"
    )
    kinds = [
        codec.Backend(getattr(codec, name), load_hint=share) for name, share in BACKENDS[backends]
    ]
    return codec.Decoder(
        device_id=codec.NVIMGCODEC_DEVICE_CPU_ONLY if backends == "cpu" else 0,
        max_num_cpu_threads=_THREADS,
        backends=kinds,
        options=options,
    )


def _windows(count: int) -> list[Window]:
    """Random windows, each as its first row and column and those after its last."""
    random = np.random.default_rng(1)
    windows = []
    for _ in range(count):
        width, height = (int(side) for side in random.choice(SIDES, 2))
        left = int(random.integers(0, WIDTH - width + 1))
        top = int(random.integers(0, HEIGHT - height + 1))
        windows.append((top, left, top + height, left + width))
    return windows


def _largest_difference(
    regions: Sequence[Any], frames: Sequence[Any], windows: Sequence[Window]
) -> int:
    """The largest difference of a pixel between regions and the same windows of whole frames.

    Raises:
        ValueError: A region does not have its window's size.
    """
    largest = 0
    for region, frame, window in zip(regions, frames, windows, strict=False):
        top, left, bottom, right = window
        got = _pixels(region)
        expected = _pixels(frame)[top:bottom, left:right]
        if got.shape != expected.shape:
            raise ValueError(f"region {window}: expected shape {expected.shape}, got {got.shape}")

        inside = np.abs(got - expected)[_EDGE:-_EDGE, _EDGE:-_EDGE]
        largest = max(largest, int(inside.max()))
    return largest


def _pixels(image: Any) -> npt.NDArray[np.int64]:
    return np.asarray(image.cpu()).astype(np.int64)


def _rate(decoder: Any, streams: Sequence[Any]) -> tuple[float, float]:
    """Images a second, and cores busy with them."""
    decoder.decode(streams)
    num_images = 0
    began = time.perf_counter()
    cpu_began = time.process_time()

    while time.perf_counter() - began < _SECONDS:
        images = decoder.decode(streams)
        images[-1].cpu()  # waits for the batch
        num_images += len(images)

    seconds = time.perf_counter() - began
    cpu_seconds = time.process_time() - cpu_began
    return num_images / seconds, cpu_seconds / seconds


def run_case(site: str | None, case: tuple[str, int, str]) -> None:
    """Run a case in a child, and report its finding or how it ended."""
    backends, batch, what = case
    command = [sys.executable, "-m", __spec__.name, "--case", backends, str(batch), what]
    if site:
        command += ["--site", site]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_CHILD_SECONDS)
        exit_status = done.returncode
        said = done.stderr
    except subprocess.TimeoutExpired:
        exit_status = None
        said = f"no end within {_CHILD_SECONDS} s"

    if exit_status == 0:
        print(done.stdout.strip().splitlines()[-1], flush=True)
    else:
        report(
            crashed=exit_status,
            site=site,
            backends=backends,
            batch=batch,
            what=what,
            said=said[-300:],
        )


def main() -> None:
    """Run every case of every version, or the one case of a child."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--site", action="append", metavar="FOLDER")
    parser.add_argument("--case", nargs=3, metavar=("BACKENDS", "BATCH", "WHAT"))
    words = parser.parse_args()
    sites = words.site or [None]

    if words.case:
        backends, batch, what = words.case
        decode_case(sites[0], backends, int(batch), what)
        return
    for site in sites:
        for case in GPU_CASES if ON_GPU else CPU_CASES:
            run_case(site, case)


if __name__ == "__main__":
    main()
