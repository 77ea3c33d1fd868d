"""The losses of the last steps, kept on the device until somebody asks."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from surgstream.trainer.batch import ClipBatch, ClipName
from surgstream.trainer.distributed import Topology, all_gather, mean_over_ranks
from surgstream.trainer.errors import NonFiniteLossError


class StepLog:
    """Collects the values of each step without waiting for the device; checks and averages them at a report."""

    def __init__(self, topology: Topology, run_dir: Path) -> None:
        """Start with no steps."""
        self._topology, self._run_dir = topology, run_dir
        self._micro_batches: list[Mapping[str, Tensor]] = []
        self._clips: list[tuple[int, ClipName]] = []
        self._steps: list[tuple[int, dict[str, Tensor], list[tuple[int, ClipName]]]] = []

    def __len__(self) -> int:
        """Steps collected."""
        return len(self._steps)

    def add_micro_batch(self, batch: ClipBatch, values: Mapping[str, Tensor]) -> None:
        """Note a micro-batch's clips and scalar values."""
        self._micro_batches.append(values)
        self._clips += zip(batch.g.tolist(), batch.names, strict=True)

    def end_step(self, step: int, grad_norm: float | Tensor) -> None:
        """Close a step: its values are the means of its micro-batches."""
        values = {
            key: torch.stack([values[key].float() for values in self._micro_batches]).mean()
            for key in self._micro_batches[0]
        }
        values["optim/grad_norm"] = torch.as_tensor(grad_norm, dtype=torch.float32)
        self._steps.append((step, values, self._clips))
        self._micro_batches, self._clips = [], []

    def means(self) -> dict[str, float]:
        """Average over ranks and steps; collective, and here alone the host waits for the device.

        Raises:
            NonFiniteLossError: A step's loss or gradient norm is not finite, on every rank.
        """
        keys = list(self._steps[0][1])
        rows = [
            torch.stack([values[key].to(self._topology.device) for key in keys])
            for _, values, _ in self._steps
        ]
        # (steps, keys); what is not finite on one rank is so in the mean, and thus on all.
        table = mean_over_ranks(torch.stack(rows)).tolist()

        for (step, _, clips), row in zip(self._steps, table, strict=True):
            if not all(map(math.isfinite, row)):
                self._stop(step, dict(zip(keys, row, strict=True)), clips)
        return {
            key: sum(column) / len(column)
            for key, column in zip(keys, zip(*table, strict=True), strict=True)
        }

    def clear(self) -> None:
        """Forget the steps."""
        self._steps.clear()

    def _stop(self, step: int, values: dict[str, float], clips: list[tuple[int, ClipName]]) -> None:
        shares = all_gather(clips)
        names = {g: str(name) for g, name in sorted(clip for share in shares for clip in share)}
        report = self._run_dir / f"non_finite_step_{step:08d}.json"
        if self._topology.is_main:
            report.write_text(
                json.dumps(
                    {
                        "step": step,
                        "values": {k: repr(v) for k, v in values.items()},
                        "clips": names,
                    }
                )
            )
        parts = ", ".join(f"{key} {value:.6g}" for key, value in values.items())
        raise NonFiniteLossError(
            f"step {step}: expected finite losses and gradient norm, got {parts}; its clips are {_some(names)} "
            f"(all in {report})"
        )


def _some(names: Mapping[int, str], most: int = 8) -> str:
    shown = ", ".join(f"{name} (g {g})" for g, name in list(names.items())[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
