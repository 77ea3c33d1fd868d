"""Open what is to be extracted: corpus, task, encoder and store."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.distributed import RankInfo, from_main
from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.encoders.choice import check_rate
from surgstream.trainer.encoders.running import Runner
from surgstream.trainer.features.config import FeaturesRecipe
from surgstream.trainer.features.places import Asked, frames_at, frames_of_task
from surgstream.trainer.features.spec import FeatureSpec
from surgstream.trainer.features.store import FeatureStore
from surgstream.trainer.labelled.clips import TaskClips
from surgstream.trainer.labelled.opening import open_task

log = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True, eq=False)
class Extraction:
    """What is to be extracted, from which corpus, and where to.

    Attributes:
        recipe: The recipe.
        table: The corpus.
        task: The task, where there is one.
        stride: Frames from one of a clip to the next.
        asked: The frames that get features.
        runner: The encoder on this rank's device.
        store: Where they are kept.
    """

    recipe: FeaturesRecipe
    table: FrameTable
    task: TaskClips | None
    stride: int | Literal["uniform"]
    asked: Asked
    runner: Runner
    store: FeatureStore


def open_extraction(
    recipe: FeaturesRecipe,
    encoder: FrozenEncoder,
    rank_info: RankInfo,
    splits: Sequence[str] = SPLITS,
) -> Extraction:
    """Open the corpus, the task and the store; collective.

    Args:
        recipe: What to extract.
        encoder: The encoder, as the recipe has it; it is moved to this rank's device.
        rank_info: This rank's place; it has joined the others.
        splits: The splits of the task that get features.

    Raises:
        ConfigError: The recipe, the task and the corpus do not fit.
        FeatureError: The store's key stands for other features.
        StorageError: The corpus or the store cannot be read or written.
    """
    data = recipe.data
    table = FrameTable.open(open_storage(data.corpus, data.s3), fps=data.fps, check=False)
    from_main(table.check_sizes)

    task = None
    stride: int | Literal["uniform"] = data.stride
    if recipe.task:
        task = open_task(
            recipe.task, recipe.labels, recipe.clips, table, num_frames=encoder.num_frames
        )
        of_task = task.config.clip.stride
        stride = of_task if recipe.clips.stride is None else recipe.clips.stride
        asked = frames_of_task(task, splits)
    else:
        asked = frames_at(table, recipe.rows_per_second, recipe.datasets)

    runner = Runner(encoder, recipe.encoder, rank_info.device)
    spec = _spec(recipe, encoder, table, stride, runner.precision)
    store = FeatureStore(recipe.out, spec, table, data.s3)
    from_main(store.claim)
    if rank_info.is_main:
        _tell_rates(encoder, table, asked, stride)
    return Extraction(
        recipe=recipe,
        table=table,
        task=task,
        stride=stride,
        asked=asked,
        runner=runner,
        store=store,
    )


def _tell_rates(
    encoder: FrozenEncoder, table: FrameTable, asked: Asked, stride: int | Literal["uniform"]
) -> None:
    """Warn where clips have another rate than those that the encoder was trained on."""
    if stride == "uniform":
        return
    # Still images have no rate.
    apart = {
        stride * part.frames.step / part.fps
        for dataset, videos in asked.items()
        for part in table.parts(dataset)
        if part.video in videos
    }
    for seconds in sorted(apart - {0.0}):
        warning = check_rate(encoder, seconds)
        if warning:
            log.warning("%s", warning)


def _spec(
    recipe: FeaturesRecipe,
    encoder: FrozenEncoder,
    table: FrameTable,
    stride: int | Literal["uniform"],
    precision: str,
) -> FeatureSpec:
    is_pooled = recipe.per == "pooled"
    width = encoder.pooled_dim
    return FeatureSpec(
        weights=encoder.name,
        identity=encoder.identity,
        corpus=table.sha256,
        fps=recipe.data.fps,
        num_frames=encoder.num_frames,
        stride=stride,
        image_size=encoder.image_size,
        view=recipe.clips.view,
        precision=precision,
        dtype=recipe.dtype,
        per=recipe.per,
        shape=(width,) if is_pooled else (encoder.grid.slices, width),
    )
