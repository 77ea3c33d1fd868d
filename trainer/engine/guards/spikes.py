"""Losses that leap: a step that would follow one is left out."""

import logging
import math
import statistics
from collections import deque
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from surgstream.trainer.distributed import mean_over_ranks
from surgstream.trainer.engine.guards.config import SpikeGuardConfig
from surgstream.trainer.errors import LossSpikeError

log = logging.getLogger(__name__)


class SpikeGuard:
    """Judges the loss of each step before its update, by the losses of the last ones that were followed.

    A step is left out where L > mean + c std of these, [J12] of `docs/recipes_next.md`. L is the mean over the step's
    micro-batches and over all ranks, so that all of them decide alike.

    Attributes:
        num_skipped: Steps that were left out, since the run began.
    """

    def __init__(self, config: SpikeGuardConfig) -> None:
        """Begin without losses: none is judged before half a window is there."""
        self._config = config
        self._followed: deque[float] = deque(maxlen=config.window)
        self._losses: list[Tensor] = []
        self._in_a_row = 0
        self.num_skipped = 0

    def add(self, loss: Tensor) -> None:
        """Note the loss of a micro-batch."""
        self._losses.append(loss.detach().float())

    def forbids_step(self) -> bool:
        """Judge the step that is about to end; collective, and the host waits for the device.

        Raises:
            LossSpikeError: Too many steps in a row would be left out.
        """
        loss = mean_over_ranks(torch.stack(self._losses).mean()).item()
        self._losses = []
        if not math.isfinite(loss):  # which is reported as such
            return False

        bound = self._bound()
        if loss <= bound:
            self._followed.append(loss)
            self._in_a_row = 0
            return False

        self.num_skipped += 1
        self._in_a_row += 1
        if self._in_a_row > self._config.most_in_a_row:
            raise LossSpikeError(
                f"optim.spike_guard: expected losses up to {bound:.6g}, got {self._in_a_row} in a row "
                f"above that, the last one {loss:.6g}; resume from an earlier checkpoint with a lower "
                "optim.base_lr, or set optim.spike_guard to null"
            )
        # All ranks say the same, so one will do
        if dist.get_rank() == 0:
            log.warning("a loss of %.6g is above %.6g: its step is left out", loss, bound)
        return True

    def _bound(self) -> float:
        if len(self._followed) <= self._config.window // 2:
            return math.inf
        spread = statistics.pstdev(self._followed)
        return statistics.fmean(self._followed) + self._config.deviations * spread

    def to_state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "followed": [*self._followed],
            "in_a_row": self._in_a_row,
            "num_skipped": self.num_skipped,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what a checkpoint has kept."""
        self._followed.extend(state["followed"])
        self._in_a_row = state["in_a_row"]
        self.num_skipped = state["num_skipped"]
