"""Traces of a running rank's next steps and its NCCL collectives, written when it receives SIGUSR2."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist

from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.engine.preemption.flags import SignalFlag
from surgstream.trainer.runs.files import FLIGHT_RECORDER, PROFILES

log = logging.getLogger(__name__)

_NUM_STEPS = 3


class Profiler:
    """Traces some steps of this rank when its flag is raised; view a trace in https://ui.perfetto.dev."""

    def __init__(self, asked: SignalFlag, rank_info: RankInfo, run_dir: Path) -> None:
        """Trace nothing until `asked` is raised."""
        self._asked = asked
        self._rank_info = rank_info
        self._run_dir = run_dir
        self._trace: torch.profiler.profile | None = None
        self._first_step = 0

    def before_step(self, step: int) -> None:
        """Begin a trace if one is asked for, and end one that has all its steps."""
        if self._trace and step == self._first_step + _NUM_STEPS:
            self.close()
        if self._trace is None and self._asked.take():
            self._trace = torch.profiler.profile(record_shapes=True)
            self._first_step = step
            self._write_flights()
            self._trace.start()

    def close(self) -> None:
        """Write the trace that is under way, if any."""
        if self._trace is None:
            return
        trace = self._trace
        self._trace = None
        trace.stop()
        name = f"step_{self._first_step:08d}_rank{self._rank_info.rank:05d}.json.gz"
        _write(self._run_dir / PROFILES / name, lambda path: trace.export_chrome_trace(str(path)))

    def _write_flights(self) -> None:
        if dist.get_backend() == "nccl":
            record = cast(Any, torch._C)._distributed_c10d._dump_nccl_trace()
            name = f"rank{self._rank_info.rank}"
            _write(self._run_dir / FLIGHT_RECORDER / name, lambda path: path.write_bytes(record))


def record_flights(run_dir: Path, rank_info: RankInfo) -> None:
    """Have NCCL keep its last collectives, and write them to the run directory when one of them takes too long.

    Call it before the process group is joined; variables that the environment has already stay. `torchfrtrace --prefix
    rank RUN_DIR/flight_recorder` compares the ranks' records.
    """
    folder = run_dir.absolute() / FLIGHT_RECORDER
    # The other ranks do not know yet that the run directory is theirs.
    if rank_info.is_main:
        folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("TORCH_FR_BUFFER_SIZE", "2000")
    os.environ.setdefault("TORCH_FR_DUMP_TEMP_FILE", str(folder / "rank"))
    os.environ.setdefault("TORCH_NCCL_DUMP_ON_TIMEOUT", "1")


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file that was asked for; training goes on without it."""
    try:
        path.parent.mkdir(exist_ok=True)
        write(path)
    except OSError as error:
        log.warning("%s: was not written: %s", path, error)
    else:
        log.info("wrote %s", path)
