"""Tasks that a run does every N steps: the held-out loss, a check for collapse, pictures."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.distributed import RankInfo, mean_over_ranks
from surgstream.trainer.engine.collapse import CollapseWatch, diversity
from surgstream.trainer.engine.metrics import Value
from surgstream.trainer.engine.pictures import contact_sheet, save_picture
from surgstream.trainer.engine.zero import ZeroEngine
from surgstream.trainer.objectives.base import Objective

OpenClips = Callable[[], AbstractContextManager[Iterator[ClipBatch]]]


@dataclass(frozen=True, kw_only=True, eq=False)
class StepContext:
    """The step after which a periodic task runs.

    Attributes:
        step: Steps done so far.
        batch: The step's last micro-batch on this rank.
        poll_stop: Tells the watchdog that this rank moves, and whether all ranks stop before the plan is done.
            Collective: all ranks call it equally often.
    """

    step: int
    batch: ClipBatch
    poll_stop: Callable[[], bool]


class Periodic(NamedTuple):
    """A task that all ranks run together every N steps and after the last one.

    It runs in evaluation mode and without gradients.

    Attributes:
        every_steps: N; 0 is never.
        run: Returns values to report under `group/name` keys, which rank 0 writes; none when it was told to stop.
    """

    every_steps: int
    run: Callable[[StepContext], Mapping[str, Value]]


@dataclass(frozen=True, eq=False)
class HeldOutLoss:
    """The mean loss of held-out clips over all ranks, without drop path.

    Attributes:
        engine: The objective under ZeRO.
        objective: The objective itself, for its targets.
        rank_info: This rank's place.
        open_clips: Opens this rank's share of the batches, each time the same ones, equally many on every rank.
    """

    engine: ZeroEngine
    objective: Objective
    rank_info: RankInfo
    open_clips: OpenClips

    def __call__(self, context: StepContext) -> Mapping[str, Value]:
        """Take the loss."""
        rows: list[dict[str, Tensor]] = []
        num_clips = 0
        stopped = False

        with self.open_clips() as batches:
            for batch in batches:
                valid = batch.without_padding()
                num_valid = int(batch.valid.sum())
                with self.engine.autocast():
                    targets = self.objective.targets(valid)
                output = self.engine(valid, targets)

                # Sums, not means: batches and ranks have different numbers of clips.
                values = {"loss/total": output.loss, **output.metrics}
                rows.append({key: value.float() * num_valid for key, value in values.items()})
                num_clips += num_valid

                stopped = context.poll_stop()
                if stopped:
                    break

            # Read the values before the loader closes: it frees pixels that running kernels may still read.
            means = self._means(rows, num_clips)

        return {} if stopped else means

    def _means(self, rows: list[dict[str, Tensor]], num_clips: int) -> dict[str, Value]:
        clips_per_rank = mean_over_ranks(
            torch.tensor(float(num_clips), device=self.rank_info.device)
        )
        sums = {key: torch.stack([row[key] for row in rows]).sum() for key in rows[0]}

        means: dict[str, Value] = {}
        for key, value in sums.items():
            name = key.split("/")[1]
            means[f"held_out/{name}"] = (mean_over_ranks(value) / clips_per_rank).item()
        means["held_out/clips"] = clips_per_rank.item() * self.rank_info.world_size
        return means


@dataclass(eq=False)
class CollapseCheck:
    """The diversity of a training batch's features, the mean over ranks; rank 0 warns when they collapse.

    Attributes:
        engine: The objective under ZeRO.
        objective: The objective itself, for its features.
        rank_info: This rank's place.
    """

    engine: ZeroEngine
    objective: Objective
    rank_info: RankInfo

    def __post_init__(self) -> None:
        self._watch = CollapseWatch(self.objective.against_collapse)

    def __call__(self, context: StepContext) -> Mapping[str, Value]:
        """Measure the diversity of each set of features."""
        with self.engine.autocast():
            features = self.objective.collapse_features(context.batch)

        found: dict[str, Tensor] = {}
        for name, vectors in features.items():
            for kind, value in diversity(vectors).items():
                found[f"{name}_{kind}"] = value
        averaged = mean_over_ranks(torch.stack([*found.values()])).tolist()
        means = dict(zip(found, averaged, strict=True))

        if self.rank_info.is_main:
            # Predictions begin alike, and may stay so for a while.
            sizes = {
                name: (len(vectors), vectors.shape[-1])
                for name, vectors in features.items()
                if name != "predictions"
            }
            self._watch.look(context.step, means, sizes)
        return {f"collapse/{key}": value for key, value in means.items()}


@dataclass(frozen=True, eq=False)
class ReconstructionPictures:
    """Pictures of some clips as the model sees and predicts them.

    Attributes:
        engine: The objective under ZeRO.
        objective: The objective itself, which draws.
        rank_info: This rank's place.
        run_dir: The run's directory.
        open_clips: Opens the clips to draw; None draws the training batch.
    """

    engine: ZeroEngine
    objective: Objective
    rank_info: RankInfo
    run_dir: Path
    open_clips: OpenClips | None

    def __call__(self, context: StepContext) -> Mapping[str, Value]:
        """Draw the clips; rank 0 writes them as PNG and returns the picture."""
        batch = context.batch
        if self.open_clips:
            with self.open_clips() as batches:
                batch = next(batches).without_padding()
        with self.engine.autocast():
            rows = self.objective.pictures(batch)

        if not self.rank_info.is_main:
            return {}
        path = self.run_dir / "pictures" / f"step_{context.step:08d}.png"
        return {"clips": save_picture(path, contact_sheet(rows))}


@contextmanager
def evaluating(objective: Objective) -> Iterator[None]:
    """Set an objective to evaluation mode, uncompiled and without gradients, and back to training mode."""
    objective.eval()
    with torch.no_grad(), objective.uncompiled():
        yield
    objective.train()
