"""Extract features of a frozen encoder, shard by shard, shared by all ranks."""

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from surgstream.shards.progress import progress_bar
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.subset import Anchors, Subset
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.batch import ClipName
from surgstream.trainer.data.config import View
from surgstream.trainer.data.source import ClipSource
from surgstream.trainer.distributed import RankInfo, from_main
from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.errors import FeatureError
from surgstream.trainer.features.config import FeaturesRecipe
from surgstream.trainer.features.places import (
    Asked,
    Int64,
    by_shard,
    frames_at,
    frames_of_task,
)
from surgstream.trainer.features.spec import FeatureSpec
from surgstream.trainer.features.store import FeatureStore, Floats
from surgstream.trainer.labelled.clips import TaskClips
from surgstream.trainer.labelled.config import VIEWS
from surgstream.trainer.labelled.opening import open_task

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Extraction:
    """What is to be extracted, from which corpus, and where to.

    Attributes:
        recipe: The recipe.
        table: The corpus.
        task: The task, where there is one.
        stride: Frames from one of a clip to the next.
        asked: The frames that get features.
        store: Where they are kept.
    """

    recipe: FeaturesRecipe
    table: FrameTable
    task: TaskClips | None
    stride: int | Literal["uniform"]
    asked: Asked
    store: FeatureStore


def open_extraction(
    recipe: FeaturesRecipe, encoder: FrozenEncoder, rank_info: RankInfo
) -> Extraction:
    """Open the corpus, the task and the store; collective.

    Args:
        recipe: What to extract.
        encoder: The encoder, as the recipe has it.
        rank_info: This rank's place; it has joined the others.

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
        asked = frames_of_task(task)
    else:
        asked = frames_at(table, recipe.rows_per_second, recipe.datasets)

    spec = _spec(recipe, encoder, table, stride, rank_info)
    store = FeatureStore(recipe.out, spec, table, data.s3)
    from_main(store.claim)
    return Extraction(
        recipe=recipe, table=table, task=task, stride=stride, asked=asked, store=store
    )


def _spec(
    recipe: FeaturesRecipe,
    encoder: FrozenEncoder,
    table: FrameTable,
    stride: int | Literal["uniform"],
    rank_info: RankInfo,
) -> FeatureSpec:
    on_gpu = rank_info.device.type == "cuda"
    wanted = recipe.encoder.autocast
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
        autocast="bf16" if wanted == "bf16" or (wanted == "auto" and on_gpu) else "none",
        dtype=recipe.dtype,
        per=recipe.per,
        shape=(width,) if is_pooled else (encoder.grid.slices, width),
    )


def extract(
    extraction: Extraction,
    encoder: FrozenEncoder,
    rank_info: RankInfo,
    *,
    beat: Callable[[], None] = lambda: None,
    stopping: Callable[[], bool] = lambda: False,
) -> bool:
    """Extract what the store does not have yet. Ranks take the shards in turn, and none waits for another.

    A shard's features are in the store when all of them are done, so whoever stops, or is stopped, loses those of one
    shard. They do not depend on the ranks: each shard has batches of its own. Memory holds one shard's at a time.

    A clip with damaged frames has no features, and the log says so; the next extraction tries again.

    Args:
        extraction: What to extract.
        encoder: The encoder, as the extraction was opened with.
        rank_info: This rank's place.
        beat: Called after every batch.
        stopping: Whether all ranks stop; called by each equally often, after each of its shards. May be collective.

    Returns:
        Whether all was extracted: false where it was told to stop.

    Raises:
        FeatureError: A feature is not finite.
        ShardError: The corpus cannot be read, or too many clips are damaged.
        StorageError: The store cannot be written.
    """
    shards = list(by_shard(extraction.asked, extraction.store.rows))
    mine = shards[rank_info.rank :: rank_info.world_size]
    num_rounds = -(-len(shards) // rank_info.world_size)
    num_rows = sum(map(_num_frames, (asked for _, asked in mine)))

    worker = _Worker(extraction, encoder, rank_info, beat)
    bar = progress_bar("features", num_rows, unit=" rows", shown=rank_info.is_main)
    with bar:
        for number in range(num_rounds):
            # With fewer shards than others a rank still asks as often whether to stop.
            for shard, asked in mine[number : number + 1]:
                worker.extract(shard, asked)
                bar.update(_num_frames(asked))
            if stopping():
                return False
    return True


class _Worker:
    """Extracts the features of one shard after another."""

    def __init__(
        self,
        extraction: Extraction,
        encoder: FrozenEncoder,
        rank_info: RankInfo,
        beat: Callable[[], None],
    ) -> None:
        recipe = extraction.recipe
        self._extraction = extraction
        self._spec = extraction.store.spec
        self._encoder = encoder.to(rank_info.device).eval()
        self._device = rank_info.device
        self._beat = beat
        self._views: Sequence[View] = VIEWS[recipe.clips.view]
        # Subsets know how far apart the frames of a clip are.
        self._source = ClipSource(
            replace(recipe.data, stride=1),
            extraction.table,
            seed=recipe.seed,
            num_frames=encoder.num_frames,
            image_size=encoder.image_size,
            micro_batch_size=recipe.micro_batch_size,
            rank_info=rank_info,
            augment=self._views[0],
        )

    def extract(self, shard: str, asked: Asked) -> None:
        """Extract what the store lacks of a shard, and add it."""
        store = self._extraction.store
        old = store.records(shard)["row"]
        missing: dict[str, dict[str, Int64]] = {}
        for dataset, videos in asked.items():
            for video, frames in videos.items():
                new = frames[~np.isin(store.rows.of(dataset, video, frames), old)]
                if new.size:
                    missing.setdefault(dataset, {})[video] = new
        if not missing:
            return

        # By several views of a clip, the mean.
        rows, features = self._encoded(missing, self._views[0])
        for view in self._views[1:]:
            again, more = self._encoded(missing, view)
            both, first, second = np.intersect1d(rows, again, return_indices=True)
            rows = both
            features = features[first] + more[second]
        if rows.size:
            store.add(shard, rows, features / len(self._views))

    def _encoded(self, asked: Asked, view: View) -> tuple[Int64, Floats]:
        """The features of frames of one shard, and their rows in its index."""
        anchors = Anchors(
            frames={
                dataset: {video: frames.tolist() for video, frames in videos.items()}
                for dataset, videos in asked.items()
            },
            stride=self._extraction.stride,
            spread=self._spec.num_frames,
        )
        subset = Subset(self._extraction.table, asked, anchors)

        names: list[ClipName] = []
        features = np.empty((_num_frames(asked), *self._spec.shape), np.float32)
        with closing(self._source.open_pass(shared=False, view=view, clips_of=subset)) as batches:
            for batch in batches:
                kept = np.flatnonzero(batch.valid).tolist()
                encoded = self._encode(batch.clips)
                features[len(names) : len(names) + len(kept)] = encoded[kept]
                names += [batch.names[i] for i in kept]
                self._beat()
            self._tell(batches.stream.bad_clips)

        rows = [
            self._extraction.store.rows.of(name.dataset, name.video, np.array([name.anchor_frame]))
            for name in names
        ]
        return np.concatenate([np.empty(0, np.int64), *rows]), features[: len(names)]

    @torch.no_grad()
    def _encode(self, clips: Tensor) -> npt.NDArray[Any]:
        """Features (B, D) or (B, S, D) of a batch."""
        with torch.autocast(
            self._device.type, torch.bfloat16, enabled=self._spec.autocast == "bf16"
        ):
            is_pooled = self._spec.per == "pooled"
            encoded = self._encoder.pooled(clips) if is_pooled else self._encoder.slices(clips)
        found = encoded.float().cpu().numpy()
        if found.shape[1:] != self._spec.shape:
            raise FeatureError(
                f"{self._spec.weights}: expected features of the shape {self._spec.shape}, "
                f"got {found.shape[1:]}"
            )
        return found

    def _tell(self, bad_clips: Sequence[Any]) -> None:
        if bad_clips:
            first = bad_clips[0]
            log.warning(
                "%d clips have no features, the first one is %s/%s@%d: %s",
                len(bad_clips),
                first.dataset,
                first.video,
                first.anchor_frame,
                first.cause.reason,
            )


def _num_frames(asked: Asked) -> int:
    return sum(frames.size for videos in asked.values() for frames in videos.values())
