"""The effect of kept moments on the loss of a second phase's first steps.

`python -m surgstream.benchmarks.experiments.second_phase CORPUS` prints it as JSON.

Of each recipe a first phase of some steps, and from its checkpoint, at the same learning rate, longer clips: once with
AdamW's moments, once without, on the same clips and masks. Networks are smaller than the tiny recipes'.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from surgstream.benchmarks.support.harness import conditions
from surgstream.configs.loading import load
from surgstream.trainer.assembly import clip_source, training_corpus
from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.distributed import RankInfo, leave
from surgstream.trainer.engine.checkpoint import load_moments, save_checkpoint
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.engine.zero import ZeroEngine
from surgstream.trainer.joining import join
from surgstream.trainer.lineage.config import WarmStartConfig
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.base import Objective
from surgstream.trainer.resume import order_from
from surgstream.trainer.warm_start import carried_moments, warm_start

RECIPES = Path(__file__).parents[2] / "configs" / "pretrain"
SMALL = (
    *(
        "global_batch_size=16",
        "micro_batch_size=16",
        "held_out=null",
        "probe=null",
        "objective.encoder.depth=2",
    ),
    *(
        "objective.encoder.embed_dim=96",
        "objective.encoder.patch_size=16",
        "objective.predictor.depth=1",
    ),
)
MASKS = {"surgrec_jepa_tiny": (), "unisurg_tiny_stage1": ("objective.mask_ratio=[0.4, 0.75]",)}
BEGINNING = Progress(step=0, clips_seen=0, state={})


def main() -> int:
    """Measure both recipes over seeds, and print them as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m surgstream.benchmarks.experiments.second_phase", description=__doc__
    )
    parser.add_argument("corpus", metavar="CORPUS")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100, help="of the first phase")
    parser.add_argument("--second-steps", type=int, default=10)
    parser.add_argument("--lr", type=float, default=5e-4)
    words = parser.parse_args()

    join(RankInfo(), 60)
    found = {}
    for recipe, masks in MASKS.items():
        for seed in range(words.seeds):
            path = RECIPES / f"{recipe}.yaml"
            corpus = f"data.corpus={words.corpus}"
            config = load(TrainConfig, path, [*SMALL, *masks, corpus, f"seed={seed}"])
            found[f"{recipe}, seed {seed}"] = compare(config, words)

    print(json.dumps({**conditions(), "cases": found}, indent=1))
    leave()
    return 0


def compare(config: TrainConfig, words: argparse.Namespace) -> dict[str, list[float] | float]:
    """Losses of a second phase's steps, and the mean of the first phase's last ten."""
    first, engine = wrap(config, None)
    losses = train(config, first, engine, words.steps, words.lr)

    longer = replace(config.objective, encoder=replace(config.objective.encoder, num_frames=8))
    second = replace(config, objective=longer)
    curves = {}
    with tempfile.TemporaryDirectory() as folder:
        saved = save_checkpoint(
            Path(folder), engine, replace(BEGINNING, step=words.steps), first.averages()
        )
        for moments in (True, False):
            objective, engine = wrap(second, WarmStartConfig(weights=str(saved), moments=moments))
            name = "with moments" if moments else "without"
            curves[name] = train(second, objective, engine, words.second_steps, words.lr)

    return {"first phase": round(statistics.fmean(losses[-10:]), 5), **curves}


def wrap(config: TrainConfig, settings: WarmStartConfig | None) -> tuple[Objective, ZeroEngine]:
    """The objective, begun as a run begins it, and its engine."""
    objective = choice.build(config.objective, config.seed)
    if settings:
        warm_start(settings, objective, config.objective.encoder)
    engine = ZeroEngine(
        objective, config.optim, config.parallel,
        micro_batch_size=config.micro_batch_size, grad_accum_steps=1, device=torch.device("cpu"),
    )  # fmt: skip
    if moments := carried_moments(settings, config.optim):
        load_moments(moments, engine)
    return objective, engine


def train(
    config: TrainConfig, objective: Objective, engine: ZeroEngine, steps: int, lr: float
) -> list[float]:
    """The loss of each step at one learning rate."""
    losses = []
    for batch in first_batches(config, steps):
        loss = engine(batch, objective.targets(batch)).loss
        engine.backward(loss)
        engine.step(lr)
        objective.after_optimizer_step()
        losses.append(round(loss.item(), 5))
    return losses


def first_batches(config: TrainConfig, steps: int) -> Iterator[ClipBatch]:
    """The batches of a run's first steps."""
    table = training_corpus(config.data)
    batch_size = config.global_batch_size
    source = clip_source(config, RankInfo(), table, config.data.augment)
    order = order_from(BEGINNING, config, table)
    with source.open(order, global_batch_size=batch_size, start=0) as batches:
        for step in range(steps):
            yield replace(next(batches), step_draw=step * batch_size)


if __name__ == "__main__":
    sys.exit(main())
