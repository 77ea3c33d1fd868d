"""A training step of the tiny SurgVISTA on clips that lie ready, against the same step with reading and decoding."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.harness import Case, join_once
from benchmarks.material import packed_corpus
from configs.loading import load
from shards.order import Order
from trainer.batch import ClipBatch
from trainer.config import TrainConfig
from trainer.engine.parallel import ZeroEngine
from trainer.objectives import surgvista
from trainer.pretrain import clip_source, open_corpus

RECIPE = Path(__file__).parent.parent / "configs" / "pretrain" / "surgvista_tiny.yaml"
NUM_STEPS = 20


def cases(folder: Path) -> list[Case]:
    """Steps on one resident batch, and on batches from the loader; the ratio is 1 - stall."""
    config = load(TrainConfig, RECIPE, [f"data.corpus={packed_corpus(folder)}", f"run_dir={folder}"])
    config = replace(config, micro_batch_size=config.global_batch_size)
    topology = join_once()
    objective = surgvista.build(config.objective, seed=0).to(topology.device)
    engine = ZeroEngine(
        objective,
        config.optim,
        config.parallel,
        micro_batch_size=config.micro_batch_size,
        grad_accum_steps=1,
        device=topology.device,
    )

    def step(batch: ClipBatch) -> None:
        with engine.autocast():
            targets = objective.targets(batch)
        engine.backward(engine(batch, targets).loss)
        engine.step(1e-4)

    corpus = open_corpus(config.data.corpus, config.data.s3)
    source = clip_source(config, topology, corpus, config.data.crop)
    order = Order.create(corpus.sizes(), 0, config.data.order)
    loader = source.open(order, global_batch_size=config.global_batch_size, start=0)
    resident = next(loader)

    def run(batches: Callable[[], ClipBatch]) -> int:
        for _ in range(NUM_STEPS):
            step(batches())
        float(engine.grad_norm())
        return NUM_STEPS * config.global_batch_size

    return [
        Case("step, clips resident", "clips", lambda: run(lambda: resident)),
        Case("step, clips from the loader", "clips", lambda: run(lambda: next(loader))),
    ]
