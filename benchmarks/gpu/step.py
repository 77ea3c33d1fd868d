"""The cost of a recipe's training step: memory at its worst masks, time by phase, and the kernels of that time.

`python -m surgstream.benchmarks.gpu.step RECIPE [key=value ...] [--steps N] [--kernels] [--load]`
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from surgstream.benchmarks.gpu import under_load
from surgstream.benchmarks.gpu.findings import DEVICE, ON_GPU, Laps, report, wait
from surgstream.benchmarks.gpu.training import load_recipe, start, take_step
from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.engine.metrics import peak_flops
from surgstream.trainer.engine.zero import ZeroEngine
from surgstream.trainer.networks import noise_batch
from surgstream.trainer.objectives.base import Objective

PHASES = ("targets", "forward", "backward", "optimizer")
_GIB = 2**30
_WARM_UP = 3
_NUM_KERNELS = 14


def main() -> None:
    """Measure the step of a recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--steps", type=int, default=10, help="steps that are timed")
    parser.add_argument("--kernels", action="store_true", help="name the kernels that take most")
    parser.add_argument("--load", action="store_true", help="repeat it while JPEGs are decoded")
    words = parser.parse_intermixed_args()

    config = load_recipe(words.recipe, words.overrides)
    began = time.perf_counter()
    objective, engine = start(config)
    flops = sum(objective.flops().values())
    report(
        recipe=Path(words.recipe).stem,
        micro_batch_size=config.micro_batch_size,
        compile=config.compile,
        tflop_a_clip=round(flops / 1e12, 3),
        build_s=round(time.perf_counter() - began, 1),
    )

    batch = noise_batch(config, DEVICE)
    take_first_step(objective, engine, batch)
    batches = with_other_draws(batch, words.steps)
    time_steps(objective, engine, batches, flops)
    if words.kernels:
        name_kernels(objective, engine, batches[:2])
    if words.load:
        under_load.measure(objective, engine, batches)


def take_first_step(objective: Objective, engine: ZeroEngine, batch: ClipBatch) -> None:
    """Take a step with the masks that need most memory; compiles what is compiled."""
    worst = objective.worst_case(batch)
    if ON_GPU:
        torch.cuda.reset_peak_memory_stats()

    began = time.perf_counter()
    loss = take_step(objective, engine, worst)
    wait()
    report(first_step_s=round(time.perf_counter() - began, 1), loss=round(loss.item(), 4))
    if ON_GPU:
        report(
            peak_allocated_gib=round(torch.cuda.max_memory_allocated() / _GIB, 1),
            peak_reserved_gib=round(torch.cuda.max_memory_reserved() / _GIB, 1),
        )


def with_other_draws(batch: ClipBatch, count: int) -> list[ClipBatch]:
    """The same clips under the draw numbers of the first steps, and so with other masks."""
    size = len(batch.draws)
    return [
        replace(batch, draws=np.arange(first, first + size), step_draw=first)
        for first in range(0, count * size, size)
    ]


def time_steps(
    objective: Objective, engine: ZeroEngine, batches: Sequence[ClipBatch], flops: int
) -> None:
    """Take a step on each batch, and report its time as a whole and by phase.

    Args:
        objective: The objective.
        engine: Its engine.
        batches: Micro-batches of one size.
        flops: Floating point operations of a clip's step.
    """
    for batch in batches[:_WARM_UP]:
        take_step(objective, engine, batch)
    wait()

    laps = []
    in_engine_step = 0.0
    began = time.perf_counter()
    for batch in batches:
        lap, seconds = timed_step(objective, engine, batch)
        laps.append(lap)
        in_engine_step += seconds
    wait()
    seconds = (time.perf_counter() - began) / len(batches)

    rate = len(batches[0].draws) / seconds
    peak = peak_flops(DEVICE)
    by_phase = zip(PHASES, zip(*(lap.seconds() for lap in laps), strict=True), strict=True)
    phases = {
        f"{phase}_ms": round(1e3 * statistics.median(values), 1) for phase, values in by_phase
    }
    report(
        step_ms=round(1e3 * seconds, 1),
        clips_per_s=round(rate, 1),
        targets_share=round(phases["targets_ms"] / sum(phases.values()), 3),
        mfu=round(flops * rate / peak, 3) if peak else None,
        **phases,
        in_engine_step_ms=round(1e3 * in_engine_step / len(batches), 1),
        grad_norm_is_finite=bool(np.isfinite(float(engine.grad_norm()))),
        **compilations(),
    )


def timed_step(objective: Objective, engine: ZeroEngine, batch: ClipBatch) -> tuple[Laps, float]:
    """Take a step; returns its marks, and the seconds that the host spent in the engine's own step."""
    laps = Laps()
    laps.mark()
    with engine.autocast():
        targets = objective.targets(batch)
    laps.mark()
    output = engine(batch, targets)
    laps.mark()
    engine.backward(output.loss)
    laps.mark()

    began = time.perf_counter()
    engine.step(0.0)
    seconds = time.perf_counter() - began
    objective.after_optimizer_step()
    laps.mark()
    return laps, seconds


def compilations() -> dict[str, int]:
    """The numbers of compiled graphs and of recompilations."""
    counters = torch._dynamo.utils.counters
    return {
        "graphs": counters["stats"]["unique_graphs"],
        "recompilations": sum(counters["recompile_limit"].values()),
    }


def name_kernels(objective: Objective, engine: ZeroEngine, batches: Sequence[ClipBatch]) -> None:
    """Report the kernels, or a CPU's operations, that take most of a step's time."""
    activity = ProfilerActivity.CUDA if ON_GPU else ProfilerActivity.CPU
    with profile(activities=[activity]) as trace:
        for batch in batches:
            take_step(objective, engine, batch)
        wait()

    times = {}
    for row in trace.key_averages():
        times[row.key] = row.self_device_time_total if ON_GPU else row.self_cpu_time_total
    total = sum(times.values())
    largest = sorted(times.items(), key=lambda item: -item[1])[:_NUM_KERNELS]
    for name, microseconds in largest:
        report(kernel=name[:90], share=round(microseconds / total, 3))


if __name__ == "__main__":
    main()
