"""What a run reports: `metrics.jsonl`, TensorBoard, and where the time of a step goes."""

import json
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from surgstream.configs.files import naming, write_atomically
from surgstream.trainer.runs.files import METRICS

Value = float | str | npt.NDArray[np.float64]

# Dense bf16 tensor-core peak in FLOP/s, from the vendor's data sheets; MFU is reported only on these.
PEAK_FLOPS = {  # the first name that fits decides
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989.4e12,
    "H800": 989.4e12,
    "H200": 989.4e12,
    "A100": 312e12,
    "A800": 312e12,
}


class MetricsWriter:
    """Writes one line of `metrics.jsonl` and one point a TensorBoard curve for each report. Rank 0 alone uses it."""

    def __init__(self, run_dir: Path, *, step: int) -> None:
        """Go on with the run's metrics after `step`."""
        self._lines = (run_dir / METRICS).open("a", encoding="utf-8")
        self._board = SummaryWriter(str(run_dir / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, values: Mapping[str, Value]) -> None:
        """Report values under `group/name` keys, beside the time in unix seconds.

        Of arrays the lines keep counts, see `counts_by_size`.
        """
        line = {
            key: counts_by_size(value) if isinstance(value, np.ndarray) else value
            for key, value in values.items()
        }

        with naming(self._lines.name):
            self._lines.write(json.dumps({"step": step, "time": time.time(), **line}) + "\n")
            self._lines.flush()

        with naming(self._board.log_dir):
            for key, value in values.items():
                if isinstance(value, np.ndarray):
                    self._board.add_histogram(key, value, step)
                elif not isinstance(value, str):
                    self._board.add_scalar(key, value, step)

    def picture(self, step: int, name: str, image: Tensor) -> None:
        """Show an image (3, H, W), uint8."""
        with naming(self._board.log_dir):
            self._board.add_image(name, image, step)

    def close(self) -> None:
        """Flush and close."""
        with naming(self._lines.name):
            self._lines.close()
        with naming(self._board.log_dir):
            self._board.close()


def counts_by_size(values: npt.NDArray[np.float64]) -> dict[str, int]:
    """How many values lie below 0.001, how many more below 0.003, and so on: a histogram that a person can read.

    Args:
        values: (num,).

    Returns:
        Counts by upper limit, without the empty ones.
    """
    limits = np.array([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, np.inf])
    counts = np.bincount(np.searchsorted(limits, values, side="right"), minlength=limits.size)
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
        begin, end = (
            torch.Event("cuda", enable_timing=True),
            torch.Event("cuda", enable_timing=True),
        )
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
        """Return the seconds since the last call, in all and by part, and start anew."""
        if self._spans:
            torch.cuda.synchronize()
            for name, begin, end in self._spans:
                self._seconds[name] += begin.elapsed_time(end) / 1e3
        now = time.perf_counter()
        total, parts = now - self._started, dict(self._seconds)
        self._started = now
        self._spans.clear()
        self._seconds.clear()
        return total, parts

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Do not count what is done meanwhile: evaluation, pictures, checkpoints. Waits for the device."""
        if self._cuda:
            torch.cuda.synchronize()  # the steps before are not part of the pause
        paused = time.perf_counter()
        yield
        self._started += time.perf_counter() - paused


def slowest(ranks: Sequence[tuple[float, str]]) -> dict[str, Value]:
    """Which rank takes longest for what it does alone, where it runs, and how it compares with the middle one.

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


def peak_flops(device: torch.device) -> float | None:
    """Dense bf16 peak of the device in FLOP/s, or None where it is not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for model, peak in PEAK_FLOPS.items() if model in name), None)
