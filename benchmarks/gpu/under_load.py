"""The slow-down of training steps while JPEGs are decoded, on the CPU's cores or on the GPU."""

import io
import threading
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec

from PIL import Image

from surgstream.benchmarks.gpu.findings import ON_GPU, report, wait
from surgstream.benchmarks.gpu.jpeg import made_jpegs, nvimgcodec_from
from surgstream.benchmarks.gpu.training import take_step
from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.engine.zero import ZeroEngine
from surgstream.trainer.objectives.base import Objective

_SECONDS = 4.0 if ON_GPU else 0.5
_CPU_THREADS = 10 if ON_GPU else 1
_GPU_DECODER_THREADS = 8
_GPU_REPEATS = 4
_SIZE = (224, 224)
_WINDOW = (100, 0, 420, 320)

Decode = Callable[[], int]
"""Decodes some JPEGs, and returns how many."""


def measure(objective: Objective, engine: ZeroEngine, batches: Sequence[ClipBatch]) -> None:
    """Report the rate of steps alone, and during each kind of decoding."""

    def rate() -> float:
        return _clips_per_second(objective, engine, batches)

    alone = rate()
    jpegs = made_jpegs()
    loads = {f"Pillow, {_CPU_THREADS} threads": ([decode_on_cores(jpegs)] * _CPU_THREADS)}
    if ON_GPU and find_spec("nvidia.nvimgcodec"):
        loads["nvImageCodec, whole frames"] = [decode_on_gpu(jpegs)]

    for name, workers in loads.items():
        loaded, num_decoded, seconds = _beside(workers, rate)
        report(
            load=name,
            jpegs_per_s=round(num_decoded / seconds),
            clips_per_s=round(loaded, 1),
            clips_per_s_alone=round(alone, 1),
            slowdown=round(1 - loaded / alone, 3),
        )


def _clips_per_second(
    objective: Objective, engine: ZeroEngine, batches: Sequence[ClipBatch]
) -> float:
    wait()
    num_steps = 0
    began = time.perf_counter()
    while time.perf_counter() - began < _SECONDS:
        take_step(objective, engine, batches[num_steps % len(batches)])
        wait()
        num_steps += 1
    return num_steps * len(batches[0].draws) / (time.perf_counter() - began)


def _beside(workers: Sequence[Decode], rate: Callable[[], float]) -> tuple[float, int, float]:
    """Measure a rate while workers decode; returns it, the JPEGs that were decoded, and the seconds."""
    stop = threading.Event()
    counts = [0] * len(workers)

    def work(number: int) -> None:
        while not stop.is_set():
            counts[number] += workers[number]()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(workers))]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    try:
        loaded = rate()
        seconds = time.perf_counter() - began
        num_decoded = sum(counts)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return loaded, num_decoded, seconds


def decode_on_cores(jpegs: Sequence[bytes]) -> Decode:
    """Decode, crop and resize by Pillow, about as a loader on the CPU does."""

    def decode() -> int:
        for encoded in jpegs:
            image = Image.open(io.BytesIO(encoded)).convert("RGB")
            image.resize(_SIZE, Image.Resampling.BILINEAR, box=_WINDOW)
        return len(jpegs)

    return decode


def decode_on_gpu(jpegs: Sequence[bytes]) -> Decode:
    """Decode whole frames by nvImageCodec."""
    codec = nvimgcodec_from(None)
    decoder = codec.Decoder(device_id=0, max_num_cpu_threads=_GPU_DECODER_THREADS)
    streams = [codec.CodeStream(encoded) for encoded in [*jpegs] * _GPU_REPEATS]

    def decode() -> int:
        decoder.decode(streams)[-1].cpu()  # waits for the batch
        return len(streams)

    return decode
