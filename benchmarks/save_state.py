"""Checkpoints of 100 million parameters on one process: how fast they are saved and loaded, and the memory it takes."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.harness import Case, join_once
from trainer.engine.checkpoint import load_moments, load_parameters, save_checkpoint
from trainer.engine.config import OptimConfig, ParallelConfig
from trainer.engine.parallel import ZeroEngine
from trainer.engine.schedules import Progress

WIDTH, DEPTH = 4096, 6


def cases(folder: Path) -> list[Case]:
    """One save and one load, each after the other."""
    engine, gigabytes = make_engine()

    def save() -> float:
        save_checkpoint(folder, engine, Progress(step=1, g=1, state={}))
        return gigabytes

    def load() -> float:
        load_parameters(folder / "step_00000001", engine.module)
        load_moments(folder / "step_00000001", engine)
        return gigabytes

    return [Case("save, state of 100 M parameters", "GB", save, peak_mb=peak_mb), Case("load it", "GB", load)]


def make_engine() -> tuple[ZeroEngine, float]:
    """An engine, and the gigabytes of its parameters and moments in fp32."""
    topology = join_once()
    module = torch.nn.Sequential(*(torch.nn.Linear(WIDTH, WIDTH) for _ in range(DEPTH)))
    engine = ZeroEngine(
        module, OptimConfig(), ParallelConfig(), micro_batch_size=1, grad_accum_steps=1, device=topology.device
    )
    return engine, 3 * 4e-9 * sum(parameter.numel() for parameter in module.parameters())


def peak_mb() -> float:
    """What a save takes at its peak beyond what the engine has."""
    ours = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    command = [sys.executable, "-m", "benchmarks.save_state"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    """Print that, from a process of its own."""
    engine, _ = make_engine()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is that of what follows
    before = status_kb("VmRSS")
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), engine, Progress(step=1, g=1, state={}))
    print((status_kb("VmHWM") - before) / 1e3)


def status_kb(name: str) -> int:
    """A line of this process's status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
