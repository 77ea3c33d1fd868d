"""Checkpoints of 100 million parameters on one process: how fast they are saved and loaded, and the memory it takes."""

import tempfile
from pathlib import Path

import torch

from surgstream.benchmarks.support.harness import Case, join_once
from surgstream.benchmarks.support.memory import alone, peak_mb
from surgstream.trainer.engine.checkpoint import load_moments, load_parameters, save_checkpoint
from surgstream.trainer.engine.config import OptimConfig, ParallelConfig
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.engine.zero import ZeroEngine

WIDTH = 4096
DEPTH = 6


def cases(folder: Path) -> list[Case]:
    """One save and one load, each after the other."""
    engine, gigabytes = make_engine()

    def save() -> float:
        save_checkpoint(folder, engine, Progress(step=1, clips_seen=1, state={}))
        return gigabytes

    def load() -> float:
        load_parameters(folder / "step_00000001", engine.module)
        load_moments(folder / "step_00000001", engine)
        return gigabytes

    return [
        Case(
            "save, state of 100 M parameters",
            "GB",
            save,
            peak_mb=lambda: alone("surgstream.benchmarks.themes.save_state"),
        ),
        Case("load it", "GB", load),
    ]


def make_engine() -> tuple[ZeroEngine, float]:
    """An engine, and the gigabytes of its parameters and moments in fp32."""
    rank_info = join_once()
    module = torch.nn.Sequential(*(torch.nn.Linear(WIDTH, WIDTH) for _ in range(DEPTH)))
    engine = ZeroEngine(
        module,
        OptimConfig(),
        ParallelConfig(),
        micro_batch_size=1,
        grad_accum_steps=1,
        device=rank_info.device,
    )
    return engine, 3 * 4e-9 * sum(parameter.numel() for parameter in module.parameters())


def main() -> None:
    """Print what a save takes at its peak beyond what the engine has."""
    engine, _ = make_engine()
    with tempfile.TemporaryDirectory() as folder:
        print(
            peak_mb(
                lambda: save_checkpoint(
                    Path(folder), engine, Progress(step=1, clips_seen=1, state={})
                )
            )
        )


if __name__ == "__main__":
    main()
