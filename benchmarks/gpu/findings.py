"""The common ground of the parts: the device, its clocks, and the line that a finding is printed as."""

import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import torch

ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda", 0) if ON_GPU else torch.device("cpu")


def report(**values: object) -> None:
    """Print a finding as one line of JSON."""
    print(json.dumps(values), flush=True)


def wait() -> None:
    """Wait until the device has done all that was asked of it."""
    if ON_GPU:
        torch.cuda.synchronize()


def seconds_of(run: Callable[[], object], times: int = 10, warm_up: int = 3) -> float:
    """The mean seconds of a call on the device."""
    for _ in range(warm_up):
        run()
    wait()

    began = time.perf_counter()
    for _ in range(times):
        run()
    wait()
    return (time.perf_counter() - began) / times


class Laps:
    """The seconds between marks in the device's queue, without waiting at any of them."""

    def __init__(self) -> None:
        self._marks: list[Any] = []

    def mark(self) -> None:
        """Set a mark after all that the device was asked so far."""
        if ON_GPU:
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record()
            self._marks.append(event)
        else:
            self._marks.append(time.perf_counter())

    def seconds(self) -> list[float]:
        """The seconds from each mark to the next; waits for the last one."""
        wait()
        pairs = itertools.pairwise(self._marks)
        if ON_GPU:
            return [start.elapsed_time(stop) / 1e3 for start, stop in pairs]
        return [stop - start for start, stop in pairs]
