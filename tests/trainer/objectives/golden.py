"""The first losses of the tiny recipes, from frames in shards to the weights of the eighth step.

`python -m tests.trainer.objectives.golden` writes `golden_losses.json` anew. That is allowed in a commit that means to
change what a recipe computes, and says in the changelog which ones and why; a commit that only moves code leaves the
file as it is.
"""

import io
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from surgstream.configs.loading import load
from surgstream.trainer.assembly import clip_source, open_corpus
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.engine.zero import ZeroEngine
from surgstream.trainer.objectives import choice
from surgstream.trainer.resume import order_from
from tests.helpers.handmade import HEIGHT, WIDTH, write_corpus

GOLDEN = Path(__file__).with_name("golden_losses.json")
STEPS = 8

SMALL = (
    "global_batch_size=4", "micro_batch_size=2", "optim.base_lr=1.0", "optim.warmup_epochs=1", "clips_per_epoch=640",
    "data.stride=3", "data.order.open_chunks=4", "data.order.chunk_frames=8", "held_out=null",
    "probe=null", "run_dir=unused",
    "objective.encoder.embed_dim=48", "objective.encoder.depth=2", "objective.encoder.num_heads=2",
)  # fmt: skip
_PREDICTOR = (
    "objective.predictor.embed_dim=32",
    "objective.predictor.depth=1",
    "objective.predictor.num_heads=2",
)
RECIPES = {
    "surgvista_tiny": ("objective.encoder.drop_path=0.3",),
    "surgrec_mae_tiny": ("objective.decoder.embed_dim=48",),
    "surgrec_jepa_tiny": _PREDICTOR,
    "unisurg_tiny_stage1": _PREDICTOR,
    "vjepa21_tiny": (
        *_PREDICTOR,
        "objective.encoder.levels=[1, 2]",
        "objective.context.from_clips=8",
        "objective.context.full_at_clips=24",
    ),
    "surgmotion_tiny": _PREDICTOR,
    "salt_tiny": (
        *_PREDICTOR,
        "objective.teacher.weights=null",
        "objective.teacher.allow_random=true",
        "objective.teacher.encoder.depth=2",
    ),
}
"""What makes each small, beside `SMALL`; its corpus has clips that begin before their part of a video."""


def first_losses(recipe: str, corpus: Path) -> list[float]:
    """Train a recipe for eight steps, in this process, which must be a process group.

    Returns:
        The mean loss of each step's micro-batches.
    """
    path = Path(__file__).parents[3] / "configs" / "pretrain" / f"{recipe}.yaml"
    config = load(TrainConfig, path, [*SMALL, *RECIPES[recipe], f"data.corpus={corpus}"])
    rank_info, beginning = RankInfo(), Progress(step=0, clips_seen=0, state={})
    table = open_corpus(config.data.corpus, config.data)
    plan = config.plan(num_clips=1, world_size=1, start=beginning)
    objective = choice.build(config.objective, config.seed)
    engine = ZeroEngine(
        objective, config.optim, config.parallel,
        micro_batch_size=config.micro_batch_size, grad_accum_steps=plan.grad_accum_steps, device=rank_info.device,
    )  # fmt: skip

    losses = []
    clips, order = (
        clip_source(config, rank_info, table, config.data.augment),
        order_from(beginning, config, table),
    )
    with clips.open(order, global_batch_size=config.global_batch_size, start=0) as batches:
        for g in range(0, STEPS * config.global_batch_size, config.global_batch_size):
            parts = []
            for _ in range(plan.grad_accum_steps):
                batch = replace(next(batches), step_draw=g)
                loss = engine(batch, objective.targets(batch)).loss
                engine.backward(loss)
                engine.step(plan.lr(g), plan.weight_decay(g))
                parts.append(loss.item())
            objective.after_optimizer_step()
            losses.append(sum(parts) / len(parts))
    return losses


def write_pictures(folder: Path) -> None:
    """A corpus of two videos of moving waves."""
    write_corpus(
        folder, {"hip": [{"a": [(0, 40)]}], "knee": [{"b": [(0, 7), (9, 24)]}]}, picture=waves
    )


def waves(dataset: str, video: str, frame: int) -> bytes:
    """A frame, as a real JPEG."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    speed = len(dataset) + ord(video) % 3
    values = [
        127 + 120 * np.sin(rows / (5 + channel) + columns / (7 - channel) + frame * speed / 9)
        for channel in range(3)
    ]
    file = io.BytesIO()
    Image.fromarray(np.stack(values, axis=-1).astype(np.uint8)).save(
        file, format="JPEG", quality=95
    )
    return file.getvalue()


def main() -> int:
    """Write the file."""
    from tests.helpers.ranks import process_group

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, process_group():
        write_pictures(Path(folder))
        found = {recipe: first_losses(recipe, Path(folder)) for recipe in RECIPES}
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
