"""What a start of a run costs, from its first word to its end."""

import math
import time
from pathlib import Path

from surgstream.trainer.distributed import RankInfo, all_gather
from surgstream.trainer.health.gpus import NvmlGpu
from surgstream.trainer.runs.costs import Start, add_start


class Meter:
    """Counts this process's time and its GPU's energy.

    Args:
        rank_info: Its place.
        began: When its work began, by `time.monotonic`.
    """

    def __init__(self, rank_info: RankInfo, began: float) -> None:
        self._rank_info = rank_info
        self._began = began
        self._gpu = NvmlGpu.open(rank_info.device)
        self._joules = self._read_joules()

    def keep(self, run_dir: Path) -> None:
        """Add what this start cost to the run's record; collective."""
        joules = sum(all_gather(self._read_joules() - self._joules))
        if not self._rank_info.is_main:
            return
        start = Start(
            seconds=time.monotonic() - self._began,
            processes=self._rank_info.world_size,
            device=self._rank_info.device_name,
            joules=joules,
        )
        add_start(run_dir, start)

    def _read_joules(self) -> float:
        joules = self._gpu.joules() if self._gpu else None
        return math.nan if joules is None else joules
