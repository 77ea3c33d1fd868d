"""The losses of the last steps, kept on the device until they are reported."""

import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from surgstream.trainer.batch import ClipBatch, ClipName
from surgstream.trainer.distributed import RankInfo, all_gather, mean_over_ranks
from surgstream.trainer.errors import NonFiniteLossError


class _Step(NamedTuple):
    """A step: its number, the means of its values, and its clips."""

    number: int
    values: dict[str, Tensor]
    clips: list[tuple[int, ClipName]]


class StepLog:
    """Collects the values of each step without waiting for the device; checks and averages them at a report."""

    def __init__(self, rank_info: RankInfo, run_dir: Path) -> None:
        """Start with no steps."""
        self._rank_info = rank_info
        self._run_dir = run_dir
        self._micro_batches: list[Mapping[str, Tensor]] = []
        self._clips: list[tuple[int, ClipName]] = []
        self._steps: list[_Step] = []

    def __len__(self) -> int:
        """Steps collected."""
        return len(self._steps)

    def add_micro_batch(self, batch: ClipBatch, values: Mapping[str, Tensor]) -> None:
        """Note a micro-batch's clips and scalar values."""
        self._micro_batches.append(values)
        self._clips += zip(batch.draws.tolist(), batch.names, strict=True)

    def end_step(self, step: int, grad_norm: float | Tensor) -> None:
        """Close a step: its values are the means of its micro-batches."""
        means: dict[str, Tensor] = {}
        for key in self._micro_batches[0]:
            column = [values[key].float() for values in self._micro_batches]
            means[key] = torch.stack(column).mean()
        means["optim/grad_norm"] = torch.as_tensor(grad_norm, dtype=torch.float32)

        self._steps.append(_Step(step, means, self._clips))
        self._micro_batches = []
        self._clips = []

    def means(self) -> dict[str, float]:
        """Average over ranks and steps; collective, and here alone the host waits for the device.

        Raises:
            NonFiniteLossError: A step's loss or gradient norm is not finite, on every rank.
        """
        keys = list(self._steps[0].values)
        rows = []
        for step in self._steps:
            row = [step.values[key].to(self._rank_info.device) for key in keys]
            rows.append(torch.stack(row))

        # (steps, keys); what is not finite on one rank is not finite in the mean, and thus on all ranks.
        table = mean_over_ranks(torch.stack(rows)).tolist()

        for step, averaged in zip(self._steps, table, strict=True):
            if not all(map(math.isfinite, averaged)):
                self._stop(step, dict(zip(keys, averaged, strict=True)))

        columns = zip(*table, strict=True)
        return {key: sum(column) / len(column) for key, column in zip(keys, columns, strict=True)}

    def check_finite(self) -> None:
        """Raise as `means` does if a collected step was not finite; collective."""
        if self._steps:
            self.means()

    def clear(self) -> None:
        """Forget the steps."""
        self._steps.clear()

    def _stop(self, step: _Step, values: dict[str, float]) -> None:
        """Write what is known of the step, and raise; collective."""
        shares = all_gather(step.clips)
        clips = sorted(itertools.chain.from_iterable(shares))
        names = {g: str(name) for g, name in clips}

        report = self._run_dir / f"non_finite_step_{step.number:08d}.json"
        if self._rank_info.is_main:
            shown = {key: repr(value) for key, value in values.items()}
            content = {"step": step.number, "values": shown, "clips": names}
            report.write_text(json.dumps(content))

        parts = ", ".join(f"{key} {value:.6g}" for key, value in values.items())
        raise NonFiniteLossError(
            f"step {step.number}: expected finite losses and gradient norm, got {parts}; "
            f"its clips are {_some(names)} (all in {report})"
        )


def _some(names: Mapping[int, str], most: int = 8) -> str:
    first = list(names.items())[:most]
    shown = ", ".join(f"{name} (g {g})" for g, name in first)
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
