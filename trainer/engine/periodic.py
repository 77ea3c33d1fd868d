"""What a run looks at between steps: held-out losses, measures of the features, pictures."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.distributed import Topology, mean_over_ranks
from surgstream.trainer.engine.collapse import CollapseWatch, diversity
from surgstream.trainer.engine.metrics import MetricsWriter
from surgstream.trainer.engine.pictures import contact_sheet, save_picture
from surgstream.trainer.engine.zero import ZeroEngine
from surgstream.trainer.objectives.base import Objective


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Held-out clips.

    Attributes:
        open: Opens this rank's share of the batches, each time the same ones, equally many on every rank.
        preview: Opens some of the clips, to be drawn.
        every_steps: How often the loss is taken, in steps; 0 is never.
    """

    open: Callable[[], AbstractContextManager[Iterator[ClipBatch]]]
    preview: Callable[[], AbstractContextManager[Iterator[ClipBatch]]]
    every_steps: int


class Measure(NamedTuple):
    """A measurement of the current weights.

    Attributes:
        every_steps: How often; 0 is never.
        take: Given what tells whether to stop, returns values under `group/name` keys, none when stopped; all ranks
            call it together, in evaluation mode.
    """

    every_steps: int
    take: Callable[[Callable[[], bool]], Mapping[str, float]]


class Observer:
    """Looks at the weights as they are, in evaluation mode, and reports; all ranks call it together."""

    def __init__(
        self,
        engine: ZeroEngine,
        objective: Objective,
        *,
        topology: Topology,
        run_dir: Path,
        metrics: MetricsWriter | None,
    ) -> None:
        """Look at an objective.

        Args:
            engine: The objective under ZeRO.
            objective: The objective itself, for its targets, features and pictures.
            topology: This rank's place.
            run_dir: Where pictures are written.
            metrics: Where to report; None on all ranks but one.
        """
        self.engine, self.objective, self.topology = engine, objective, topology
        self.run_dir, self.metrics = run_dir, metrics
        self.collapse = CollapseWatch(objective.against_collapse)

    def evaluate(self, step: int, evaluation: Evaluation, stopping: Callable[[], bool]) -> None:
        """Report the mean loss of the held-out clips over all ranks, without drop path, unless asked to stop."""
        num_clips, rows, stopped = 0, [], False
        with self._evaluating(), evaluation.open() as batches:
            for batch in batches:
                valid, num_valid = batch.without_padding(), int(batch.valid.sum())
                with self.engine.autocast():
                    targets = self.objective.targets(valid)
                output = self.engine(valid, targets)
                values = {"loss/total": output.loss, **output.metrics}
                # Batches, and ranks, have different numbers of clips: sums are added, not means.
                rows.append({key: value.float() * num_valid for key, value in values.items()})
                num_clips += num_valid
                if stopped := stopping():
                    break

            # Read the values before the loader closes, which frees pixels that kernels under way would still read.
            share = mean_over_ranks(torch.tensor(float(num_clips), device=self.topology.device))
            sums = {
                key: mean_over_ranks(torch.stack([row[key] for row in rows]).sum())
                for key in rows[0]
            }
            means = {
                f"held_out/{key.split('/')[1]}": (value / share).item()
                for key, value in sums.items()
            }
        means["held_out/clips"] = share.item() * self.topology.world_size

        if self.metrics and not stopped:
            self.metrics.write(step, means)

    def measure(self, step: int, measure: Measure, stopping: Callable[[], bool]) -> None:
        """Report something else, unless asked to stop."""
        with self._evaluating(), self.engine.autocast():
            values = measure.take(stopping)
        if self.metrics and values:
            self.metrics.write(step, values)

    def look_for_collapse(self, step: int, batch: ClipBatch) -> None:
        """Report how diverse a batch's features are, the mean over ranks, and warn when they are not."""
        with self._evaluating(), self.engine.autocast():
            latents = self.objective.collapse_features(batch)
        found = {
            f"{name}_{kind}": v
            for name, rows in latents.items()
            for kind, v in diversity(rows).items()
        }
        means = dict(
            zip(found, mean_over_ranks(torch.stack([*found.values()])).tolist(), strict=True)
        )
        if self.metrics:
            self.metrics.write(step, {f"collapse/{key}": value for key, value in means.items()})
            # Predictions begin alike, and may stay so for a while.
            sizes = {
                name: (len(rows), rows.shape[-1])
                for name, rows in latents.items()
                if name != "predictions"
            }
            self.collapse.look(step, means, sizes)

    def draw(self, step: int, batch: ClipBatch, evaluation: Evaluation | None) -> None:
        """Draw some held-out clips, or else a training batch, as the model sees and paints it."""
        if evaluation:
            with evaluation.preview() as batches:
                batch = next(batches).without_padding()
        with self._evaluating(), self.engine.autocast():
            rows = self.objective.pictures(batch)
        if self.metrics:
            path = self.run_dir / "pictures" / f"step_{step:08d}.png"
            self.metrics.picture(step, "clips", save_picture(path, contact_sheet(rows)))

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        self.engine.module.eval()
        with torch.no_grad():
            yield
        self.engine.module.train()
