"""The most memory that something takes, in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch


def alone(module: str, *words: str) -> float:
    """Run `python -m MODULE WORDS` in a world of its own; returns the number that it prints last."""
    ours = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # the other process needs the room
    command = [sys.executable, "-m", module, *words]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return float(done.stdout.splitlines()[-1])


def peak_mb(action: Callable[[], object]) -> float:
    """Do something; returns what this process took at most beyond what it had, in 10^6 bytes.

    On a GPU that is the device's memory, else the process's own.
    """
    if torch.cuda.is_available():
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        action()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    return host_peak_mb(action)


def host_peak_mb(action: Callable[[], object]) -> float:
    """Do something; returns what this process's own memory took at most beyond what it had, in 10^6 bytes."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is that of what follows
    resident = status_kb("VmRSS")
    action()
    return (status_kb("VmHWM") - resident) / 1e3


def status_kb(name: str) -> int:
    """A size of this process as the kernel has it, such as `VmRSS`, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
