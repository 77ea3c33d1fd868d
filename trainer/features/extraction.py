"""Extract features of a frozen encoder, shard by shard, shared by all ranks."""

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from surgstream.shards.progress import progress_bar
from surgstream.shards.reading.subsets.anchors import Anchors
from surgstream.shards.reading.subsets.subset import Subset
from surgstream.trainer.batch import ClipName
from surgstream.trainer.data.config import View
from surgstream.trainer.data.source import ClipSource
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.errors import FeatureError
from surgstream.trainer.features.opening import Extraction
from surgstream.trainer.features.places import (
    Asked,
    Int64,
    by_shard,
)
from surgstream.trainer.features.store import Floats
from surgstream.trainer.labelled.config import VIEWS

log = logging.getLogger(__name__)


def extract(
    extraction: Extraction,
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

    worker = _Worker(extraction, rank_info, beat)
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
        self, extraction: Extraction, rank_info: RankInfo, beat: Callable[[], None]
    ) -> None:
        recipe = extraction.recipe
        self._extraction = extraction
        self._spec = extraction.store.spec
        self._beat = beat
        self._views: Sequence[View] = VIEWS[recipe.clips.view]
        # Subsets know how far apart the frames of a clip are.
        self._source = ClipSource(
            replace(recipe.data, stride=1),
            extraction.table,
            seed=recipe.seed,
            num_frames=self._spec.num_frames,
            image_size=self._spec.image_size,
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

    def _encode(self, clips: Tensor) -> npt.NDArray[Any]:
        """Features (B, D) or (B, S, D) of a batch."""
        runner = self._extraction.runner
        encoded = runner.pooled(clips) if self._spec.per == "pooled" else runner.slices(clips)
        found = encoded.cpu().numpy()
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
