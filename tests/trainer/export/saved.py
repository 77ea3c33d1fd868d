"""Small checkpoints as runs save them, and the features of what was saved."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from surgstream.configs.loading import to_tree
from surgstream.shards.order.sequence import DatasetSize, Order, OrderConfig
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.data.config import DataConfig
from surgstream.trainer.engine.checkpoint import save_checkpoint
from surgstream.trainer.engine.config import OptimConfig, ParallelConfig
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.engine.zero import ZeroEngine
from surgstream.trainer.objectives.base import Objective
from surgstream.trainer.objectives.config import ObjectiveConfig, VJepaConfig
from tests.trainer.objectives.test_salt import TINY as SALT_TINY
from tests.trainer.objectives.test_surgmotion import TINY as SURGMOTION_TINY
from tests.trainer.objectives.test_surgvista import TINY as SURGVISTA_TINY
from tests.trainer.objectives.test_surgvista import clip_batch
from tests.trainer.objectives.test_unisurg import TINY as UNISURG_TINY
from tests.trainer.objectives.test_videomae import TINY as VIDEOMAE_TINY
from tests.trainer.objectives.test_vjepa import TINY as VJEPA_TINY
from tests.trainer.test_warm_start import objective_of

CONFIGS: dict[str, ObjectiveConfig] = {
    "surgvista": SURGVISTA_TINY, "videomae": VIDEOMAE_TINY, "vjepa": VJEPA_TINY, "unisurg": UNISURG_TINY,
    "surgmotion": SURGMOTION_TINY,
    "salt": replace(SALT_TINY, teacher=replace(SALT_TINY.teacher, encoder=SALT_TINY.encoder)),
}  # fmt: skip
FITTING = {
    "surgvista": ("surgstream", "transformers", "surgvista"),
    "videomae": ("surgstream", "transformers", "videomae"),
    "vjepa": ("surgstream", "transformers", "vjepa2"),
    "unisurg": ("surgstream", "transformers", "vjepa2"),
    "surgmotion": ("surgstream", "transformers", "vjepa2"),
    "salt": ("surgstream", "transformers", "vjepa2"),
}
DATASETS = [DatasetSize("cholec80", "laparoscopy", 900), DatasetSize("pitvis", "neurosurgery", 300)]

Saved = dict[str, tuple[Path, Objective]]
"""A checkpoint of each objective, and the objective it was saved from."""


def save(config: ObjectiveConfig, folder: Path, **state: Any) -> tuple[Path, Objective]:
    """A checkpoint as a run would save it, and the objective it was saved from."""
    objective = objective_of(config, seed=4)
    images = config.images if isinstance(config, VJepaConfig) else None
    recipe = TrainConfig(
        run_dir="x",
        global_batch_size=2,
        micro_batch_size=2,
        epochs=1,
        data=DataConfig(
            corpus="y", order=OrderConfig(stills_share=images.share if images else None)
        ),
        objective=config,
    )
    engine = ZeroEngine(
        objective,
        OptimConfig(),
        ParallelConfig(),
        micro_batch_size=2,
        grad_accum_steps=1,
        device=torch.device("cpu"),
    )
    order = Order.create(DATASETS, 0, OrderConfig())
    state = {"config": to_tree(recipe), "order": order.to_json()} | state
    return save_checkpoint(
        folder, engine, Progress(step=7, clips_seen=14, state=state), objective.averages()
    ), objective


def clips_for(config: ObjectiveConfig) -> torch.Tensor:
    return clip_batch([1, 2], config.encoder.image_size, config.encoder.num_frames).clips


@torch.no_grad()
def features(objective: Objective, clips: torch.Tensor, *, averaged: bool = True) -> torch.Tensor:
    """All tokens of the averaged encoder, where there is one, or of the trained one."""
    encoder = (
        getattr(objective, "target_encoder", objective.encoder) if averaged else objective.encoder
    )
    tokens: torch.Tensor = encoder.eval()(clips)
    return tokens
