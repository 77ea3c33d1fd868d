"""Training jobs on the test cluster, submitted as a user submits them."""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.end_to_end.conftest import Corpora
from tests.end_to_end.runs import audit, newest, planned, words
from tests.helpers.ranks import wait_for
from tests.services.slurm import Cluster

SITE = "configs/launch/cpu_test.yaml"
ROOT = Path(__file__).parents[2]
LONG = ("max_steps=120", "epochs=100")


class Job:
    """A training job."""

    def __init__(self, cluster: Cluster, corpora: Corpora, run_dir: Path, *overrides: str) -> None:
        """Submit it; `site.key=value` among the overrides is the site's."""
        self.cluster, self.run_dir = cluster, run_dir
        page = surgstream(cluster, "launch", "slurm", SITE, *words(corpora, run_dir, *overrides))
        self.id = page.split()[1].rstrip(":")

    @property
    def log(self) -> str:
        path = self.run_dir / f"slurm-{self.id}.log"
        return path.read_text() if path.exists() else ""

    @property
    def state(self) -> str:
        return self.cluster.show(self.id)["JobState"]

    @property
    def num_restarts(self) -> int:
        return int(self.cluster.show(self.id)["Restarts"])

    def when(self, moment: Callable[[], bool]) -> None:
        """Wait for a moment while the job is alive."""
        wait_for(lambda: moment() or self.state in ("FAILED", "CANCELLED"))
        assert moment(), self.log

    def ends(self, state: str, timeout: float = 120.0) -> str:
        """Wait for the end, which must be this one; returns the log."""
        ended = self.cluster.wait(self.id, timeout=timeout)
        assert ended["JobState"] == state, self.log
        return self.log

    def rank(self, rank: int) -> psutil.Process:
        """The process of a rank."""
        here = {"SLURM_CONF": self.cluster.environment["SLURM_CONF"], "SLURM_JOB_ID": self.id}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                found = process.environ()
                ours = (
                    here.items() <= found.items()
                    and process.name() != "srun"
                    and "pretrain" in process.cmdline()
                )
                if ours and found.get("RANK", found.get("SLURM_PROCID")) == str(rank):
                    return process
        raise AssertionError(f"no rank {rank} of job {self.id}: {self.log}")

    def signal_rank(self, rank: int, number: signal.Signals) -> None:
        """Send a signal to the process of one rank alone."""
        self.rank(rank).send_signal(number)


def surgstream(cluster: Cluster, *arguments: str) -> str:
    """Run a command of this environment on a login node of the cluster; returns what it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return cluster.run("env", f"PATH={path}", "surgstream", *arguments, folder=ROOT)


def starts(run_dir: Path) -> list[dict[str, Any]]:
    """What a run's jobs have noted of their starts."""
    lines = [json.loads(line) for line in (run_dir / "jobs.jsonl").read_text().splitlines()]
    return [line for line in lines if "restart" in line]


def consumed_as_planned(corpora: Corpora, run_dir: Path) -> None:
    """What the run has committed is the plan, from the first draw to the last checkpoint."""
    checkpoint = newest(run_dir)
    assert checkpoint
    count = 16 * int(checkpoint.name.removeprefix("step_"))
    committed = [entry for entry in audit(run_dir) if entry["g"] < count]
    assert committed == planned(corpora, run_dir, count, 2)
