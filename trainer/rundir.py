"""The run directory: what a run was and where it ran, beside what it wrote."""

import json
import os
import platform
from importlib.metadata import distributions
from pathlib import Path

import torch

from configs.loading import to_yaml
from trainer.config import TrainConfig
from trainer.distributed import Topology
from trainer.engine.metrics import cut_log
from trainer.engine.schedules import Progress
from trainer.runfiles import AUDIT, CHECKPOINTS, METRICS, QUARANTINE


def prepare_run_dir(config: TrainConfig, topology: Topology, progress: Progress) -> None:
    """Save the resolved configuration and the environment, and forget what was logged after the checkpoint.

    Rank 0 calls it before any rank trains.
    """
    run_dir = Path(config.run_dir)
    (run_dir / AUDIT).mkdir(parents=True, exist_ok=True)
    (run_dir / CHECKPOINTS).mkdir(exist_ok=True)
    (run_dir / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    (run_dir / "environment.json").write_text(json.dumps(environment(topology), indent=1), encoding="utf-8")
    for log in (run_dir / AUDIT).glob("*.jsonl"):
        cut_log(log, "g", keep_below=progress.g)
    cut_log(run_dir / QUARANTINE, "g", keep_below=progress.g)
    cut_log(run_dir / METRICS, "step", keep_below=progress.step + 1)


def environment(topology: Topology) -> dict[str, object]:
    """Hardware and versions, for whoever reads the run later."""
    on_gpu = topology.device.type == "cuda"
    return {
        "host": platform.node(),
        "world_size": topology.world_size,
        "device": torch.cuda.get_device_name() if on_gpu else platform.processor() or platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "cuda": torch.version.cuda,
        "packages": dict(sorted((found.name, found.version) for found in distributions())),
    }
