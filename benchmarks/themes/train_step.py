"""A recipe's training step on clips that lie on the device, against the published one and against its arithmetic."""

import itertools
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from surgstream.benchmarks.support.harness import Case, join_once
from surgstream.benchmarks.support.memory import alone, peak_mb
from surgstream.benchmarks.support.products import Products
from surgstream.benchmarks.support.published_step import PublishedLoop
from surgstream.benchmarks.support.training import (
    load_recipe,
    make_trainer,
    num_steps,
    precision,
    resident_batches,
    take_steps,
)
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.metrics import peak_flops
from surgstream.trainer.objectives.choice import build_on_meta

NUM_CLIPS = 320


def cases(folder: Path, recipe: Sequence[str]) -> list[Case]:
    """Steps of the real loop and published ones; and, as the floor of their time, their operations alone.

    The floor is what large matrix products were measured to take, in a first measurement whose best counts. MFU is the
    share of the data sheet's peak or, where that is not known, of this rate.
    """
    config = load_recipe(recipe, folder / "step")
    device = join_once().device
    flops = sum(build_on_meta(config.objective).flops().values())
    products = Products(device, precision(config, device))
    measured = products.best_rate()
    # Over the operations of a clip, FLOP/s are clips/s
    most = measured / flops
    peak = (peak_flops(device) or measured) / flops

    steps = [
        Case(
            name,
            "clips",
            make(config, device),
            most=most,
            peak_rate=peak,
            peak_mb=partial(alone, "surgstream.benchmarks.themes.train_step", name, *recipe),
        )
        for name, make in STEPS.items()
    ]

    name = f"as many operations, {flops / 1e9:,.1f} GFLOP a clip, in {products.name}"
    return [*steps, Case(name, "clips", lambda: products.run() / flops, peak_rate=peak)]


def our_steps(config: TrainConfig, device: torch.device) -> Callable[[], int]:
    """Some steps of the real loop, reported once."""
    trainer = make_trainer(config, itertools.cycle(resident_batches(config, device)))
    return partial(take_steps, trainer, num_steps(config, NUM_CLIPS))


def published_steps(config: TrainConfig, device: torch.device) -> Callable[[], int]:
    """The same number of published steps."""
    loop = PublishedLoop(config, device)
    batches = itertools.cycle([loop.batch(batch) for batch in resident_batches(config, device)])

    def run() -> int:
        for _ in range(num_steps(config, NUM_CLIPS)):
            loop.step([next(batches) for _ in range(config.grad_accum_steps(1))])
        return num_steps(config, NUM_CLIPS) * config.global_batch_size

    return run


STEPS = {"step": our_steps, "step as published": published_steps}


def main(name: str, *recipe: str) -> None:
    """Print the megabytes that one of the cases takes at its peak, from building the model on."""
    device = join_once().device
    with tempfile.TemporaryDirectory() as folder:
        config = load_recipe(recipe, Path(folder))
        print(peak_mb(lambda: STEPS[name](config, device)()))


if __name__ == "__main__":
    main(*sys.argv[1:])
