"""Training with everything on, reading and decoding and all, against the same steps on clips that lie ready.

The ratio is train / step: what is missing to 1 is the stall. Where the loader has no cores of its own it also takes the
model's, so there the stall is more than the time that a step waits for clips.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from surgstream.benchmarks.support.harness import Case
from surgstream.benchmarks.support.material import packed_corpus
from surgstream.benchmarks.support.training import (
    load_recipe,
    make_trainer,
    num_steps,
    resident_batches,
    take_steps,
)
from surgstream.shards.order.sequence import Order
from surgstream.trainer.assembly import clip_source, training_corpus
from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.data.metrics import LoaderMetrics
from surgstream.trainer.engine.metrics import Value

NUM_CLIPS = 1280


def cases(folder: Path, recipe: Sequence[str]) -> list[Case]:
    """The real loop, twice on the same model; the loader keeps its place from run to run.

    Before each run some steps bring its batches to where they are in a long run, so that none are there in advance.
    """
    config = load_recipe(recipe, folder / "train", f"data.corpus={packed_corpus(folder)}")
    trainer = make_trainer(config, iter(()))
    rank_info = trainer.rank_info
    corpus = training_corpus(config.data)
    order = Order.create(corpus.sizes(), config.seed, config.data.order)
    loader = clip_source(config, rank_info, corpus, config.data.augment).open(
        order, global_batch_size=config.global_batch_size, start=0
    )
    watch = LoaderMetrics(
        loader,
        order,
        rank_info,
        config.data.limits,
        Path(config.run_dir),
        config.grad_accum_steps(1),
    )

    def case(
        name: str, batches: Iterator[ClipBatch], watch: Callable[[int], Mapping[str, Value]]
    ) -> Case:
        def turn_to_them() -> None:
            trainer.batches = batches
            trainer.reporting = replace(trainer.reporting, watch=watch)
            take_steps(trainer, num_steps(config, NUM_CLIPS // 4))

        run = partial(take_steps, trainer, num_steps(config, NUM_CLIPS))
        return Case(name, "clips", run, prepare=turn_to_them)

    resident = itertools.cycle(resident_batches(config, rank_info.device))
    return [
        case("step, clips resident", resident, trainer.reporting.watch),
        case("train", loader, watch.report),
    ]
