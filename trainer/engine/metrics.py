"""The metrics of a run: `metrics.jsonl`, TensorBoard, and the time that each part of a step takes."""

import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from surgstream.configs.files import naming, write_atomically
from surgstream.trainer.distributed import all_gather
from surgstream.trainer.engine.schedules import TrainingPlan
from surgstream.trainer.health.watch import HardwareWatch
from surgstream.trainer.host.names import node_name
from surgstream.trainer.runs.files import METRICS
from surgstream.trainer.tracking.trackers import Tracking

Value = float | str | npt.NDArray[np.float64] | Tensor
"""A number, a word, values (num,) to count, or an image (3, H, W), uint8."""

# Dense bf16 tensor-core peak in FLOP/s, from the vendor's data sheets; MFU is reported only on these.
# The first name that fits decides.
PEAK_FLOPS = {
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989.4e12,
    "H800": 989.4e12,
    "H200": 989.4e12,
    "A100": 312e12,
    "A800": 312e12,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Reporting:
    """The reports of a run's steps.

    Attributes:
        every_steps: The interval of metrics.
        watch: Returns values to report of the data, given the draws done; all ranks call it together.
        hardware: Watches over GPUs and adapters.
        audit_log: Whether to write which step consumed which clip.
        tracking: The run's tracker; on rank 0 alone.
    """

    every_steps: int
    watch: Callable[[int], Mapping[str, Value]]
    hardware: HardwareWatch
    audit_log: bool
    tracking: Tracking | None = None

    def values(
        self,
        plan: TrainingPlan,
        clips_seen: int,
        seconds: float,
        parts: Mapping[str, float],
        *,
        num_steps: int,
        alone: Sequence[str],
    ) -> dict[str, Value]:
        """Report on the last steps beside their losses: progress, times, ranks, machines and data; collective.

        Args:
            plan: The run in numbers.
            clips_seen: The draws done.
            seconds: Of the steps together.
            parts: Seconds of each part of the steps.
            num_steps: The number of steps.
            alone: The parts that a rank does without others.
        """
        seconds_alone = sum(parts[name] for name in alone)
        news = all_gather((seconds_alone, node_name(), self.hardware.news()))
        num_clips = num_steps * plan.global_batch_size

        # Those of the step just done, which began a global batch ago.
        last = clips_seen - plan.global_batch_size
        decay = plan.weight_decay(last)
        scheduled = {} if decay is None else {"optim/weight_decay": decay}

        return {
            "optim/lr": plan.lr(last),
            **scheduled,
            "progress/clips": clips_seen,
            "progress/last_step": plan.last_step,
            "progress/epoch": clips_seen / plan.draws_per_epoch,
            **step_times(seconds, parts, num_steps),
            **slowest([rank[:2] for rank in news]),
            **self.hardware.report([rank[2] for rank in news], num_clips),
            **self.watch(clips_seen),
        }


class MetricsWriter:
    """Writes one line of `metrics.jsonl` and one point a TensorBoard curve for each report, and tells the tracker.

    Rank 0 alone uses it.
    """

    def __init__(self, run_dir: Path, *, step: int, tracking: Tracking | None = None) -> None:
        """Go on with the run's metrics after `step`."""
        self._tracking = tracking
        self._lines = (run_dir / METRICS).open("a", encoding="utf-8")
        self._board = SummaryWriter(str(run_dir / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, values: Mapping[str, Value]) -> None:
        """Report values under `group/name` keys, with the time in unix seconds.

        A line holds the counts of an array, see `counts_by_size`, and no images. Without anything else there is none.
        """
        line: dict[str, float | str | dict[str, int]] = {}
        for key, value in values.items():
            if isinstance(value, np.ndarray):
                line[key] = counts_by_size(value)
            elif not isinstance(value, Tensor):
                line[key] = value

        if line:
            with naming(self._lines.name):
                self._lines.write(json.dumps({"step": step, "time": time.time(), **line}) + "\n")
                self._lines.flush()

        with naming(self._board.log_dir):
            for key, value in values.items():
                if isinstance(value, np.ndarray):
                    self._board.add_histogram(key, value, step)
                elif isinstance(value, Tensor):
                    self._board.add_image(key, value, step)
                elif not isinstance(value, str):
                    self._board.add_scalar(key, value, step)

        if self._tracking:
            self._tracking.log(values, step)

    def close(self) -> None:
        """Flush and close."""
        with naming(self._lines.name):
            self._lines.close()
        with naming(self._board.log_dir):
            self._board.close()
        if self._tracking:
            self._tracking.finish()


def counts_by_size(values: npt.NDArray[np.float64]) -> dict[str, int]:
    """Count the values below 0.001, those from there to 0.003, and so on: a histogram that a person can read.

    Args:
        values: (num,).

    Returns:
        Counts by upper limit, without the empty ones.
    """
    limits = np.array([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, np.inf])
    bins = np.searchsorted(limits, values, side="right")
    counts = np.bincount(bins, minlength=limits.size)
    return {f"<{limit:g}": int(count) for limit, count in zip(limits, counts, strict=True) if count}


def cut_log(path: Path, key: str, *, keep_below: int) -> None:
    """Drop the lines of a JSON-lines log whose `key` is not below `keep_below`, and all from the first torn one on.

    A run killed after its last checkpoint has logged steps that it will take again.
    """
    if not path.exists():
        return

    kept = []
    for line in path.read_bytes().splitlines():
        try:
            keeps = json.loads(line)[key] < keep_below
        except (ValueError, LookupError, TypeError, RecursionError):
            break
        if keeps:
            kept.append(line.decode() + "\n")

    write_atomically(path, "".join(kept))


class StepClock:
    """Seconds that each part of a step takes, between two reports.

    On a GPU parts are timed by CUDA events, read only at a report, so that timing never waits for the device.
    """

    def __init__(self, device: torch.device) -> None:
        """Start the clock."""
        self._cuda = device.type == "cuda"
        self._spans: list[tuple[str, torch.Event, torch.Event]] = []
        self._seconds: dict[str, float] = defaultdict(float)
        self._started = time.perf_counter()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a part that runs on the device."""
        if not self._cuda:
            with self.host_part(name):
                yield
            return
        begin = torch.Event("cuda", enable_timing=True)
        end = torch.Event("cuda", enable_timing=True)
        begin.record()
        yield
        end.record()
        self._spans.append((name, begin, end))

    @contextmanager
    def host_part(self, name: str) -> Iterator[None]:
        """Time a part that makes the host wait."""
        started = time.perf_counter()
        yield
        self._seconds[name] += time.perf_counter() - started

    def read(self) -> tuple[float, dict[str, float]]:
        """Return the seconds since the last call, in all and by part, and start again from 0."""
        if self._spans:
            torch.cuda.synchronize()
            for name, begin, end in self._spans:
                self._seconds[name] += begin.elapsed_time(end) / 1e3

        now = time.perf_counter()
        total = now - self._started
        parts = dict(self._seconds)

        self._started = now
        self._spans.clear()
        self._seconds.clear()
        return total, parts

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Leave out the time of a block: evaluation, pictures, checkpoints. Waits for the device."""
        if self._cuda:
            torch.cuda.synchronize()  # the steps before are not part of the pause
        paused = time.perf_counter()
        yield
        self._started += time.perf_counter() - paused


def step_times(seconds: float, parts: Mapping[str, float], num_steps: int) -> dict[str, Value]:
    """The seconds of one step, the wait for data among them.

    Args:
        seconds: Of `num_steps` steps together.
        parts: Seconds of each part of these steps, `data` among them.
        num_steps: The number of steps.
    """
    values: dict[str, Value] = {
        "data/wait_seconds": parts["data"] / num_steps,
        "time/step_seconds": seconds / num_steps,
    }
    for name, part_seconds in parts.items():
        if name != "data":
            values[f"time/{name}_seconds"] = part_seconds / num_steps
    return values


def slowest(ranks: Sequence[tuple[float, str]]) -> dict[str, Value]:
    """The rank that takes longest for what it does alone, its host, and its time as a multiple of the median.

    Args:
        ranks: Seconds and host, by rank.
    """
    seconds, hosts = zip(*ranks, strict=True)
    rank = seconds.index(max(seconds))
    return {
        "time/slowest_rank": rank,
        "time/slowest_host": hosts[rank],
        "time/slowest_over_median": seconds[rank] / statistics.median(seconds),
    }


def device_use(device: torch.device, flops_per_second: float) -> dict[str, Value]:
    """The share of a device's peak that is used, where the peak is known, and the GiB of a GPU's memory."""
    values: dict[str, Value] = {}
    peak = peak_flops(device)
    if peak is not None:
        values["model/mfu"] = flops_per_second / peak
    if device.type == "cuda":
        values["memory/gpu_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
    return values


def peak_flops(device: torch.device) -> float | None:
    """Dense bf16 peak of the device in FLOP/s, or None where it is not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for model, peak in PEAK_FLOPS.items() if model in name), None)
