"""Under a real Slurm, no start has to do with a node for whose sake an earlier one has failed."""

import signal
from pathlib import Path

from surgstream.trainer.runs.excluded import nodes_excluded_by
from tests.end_to_end.conftest import Corpora
from tests.end_to_end.runs import reported
from tests.services.jobs import LONG, Job, consumed_as_planned, starts, surgstream
from tests.services.slurm import Cluster

UNLIKE_THE_OTHERS = """
import os, resource
if os.environ.get("SLURMD_NODENAME") == "node2":
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
"""


def nodes_of_starts(run_dir: Path) -> list[str]:
    return [start["nodes"] for start in starts(run_dir)]


def test_the_node_of_a_killed_rank(
    larger_cluster: Cluster, corpora: Corpora, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    job = Job(larger_cluster, corpora, run_dir, *LONG)
    job.when(reported(run_dir, 10))
    job.signal_rank(1, signal.SIGKILL)
    job.ends("COMPLETED")
    assert "ended with status" in job.log and not (run_dir / "FAILED").exists()
    assert nodes_of_starts(run_dir) == ["node[1-2]", "node[1,3]"]
    assert "left out     node2 for" in surgstream(larger_cluster, "status", str(run_dir))
    consumed_as_planned(corpora, run_dir)

    held = ("site.options=[--hold]", "site.exclude=node3", "site.nodes=1")
    job = Job(larger_cluster, corpora, run_dir, *held)
    assert larger_cluster.show(job.id)["ExcNodeList"] == "node[2-3]"
    job = Job(larger_cluster, corpora, run_dir, *held, "--forget-nodes")
    assert larger_cluster.show(job.id)["ExcNodeList"] == "node3"


def test_the_node_of_a_frozen_rank(
    larger_cluster: Cluster, corpora: Corpora, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    job = Job(larger_cluster, corpora, run_dir, *LONG, "parallel.timeout_seconds=20")
    job.when(reported(run_dir, 10))
    job.signal_rank(1, signal.SIGSTOP)
    job.ends("COMPLETED", timeout=240)
    assert nodes_of_starts(run_dir) == ["node[1-2]", "node[1,3]"]
    assert "trainer/engine/loop.py" in (run_dir / "stacks" / "rank00000.txt").read_text()
    consumed_as_planned(corpora, run_dir)


def test_a_node_that_preflight_finds_unlike_the_others(
    larger_cluster: Cluster, corpora: Corpora, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(UNLIKE_THE_OTHERS)
    run_dir = tmp_path / "run"
    job = Job(
        larger_cluster,
        corpora,
        run_dir,
        f"site.environment={{OMP_NUM_THREADS: 1, PYTHONPATH: '{tmp_path}:$PYTHONPATH'}}",
    )
    job.ends("COMPLETED")
    assert nodes_of_starts(run_dir) == ["node[1-2]", "node[1,3]"], "though it had not trained yet"
    (found,) = nodes_excluded_by(run_dir)
    assert found.node == "node2" and found.reason.startswith("limits: nofile is 200, expected")


def test_where_slurm_has_no_other_node_the_job_does_not_wait_for_one(
    cluster: Cluster, corpora: Corpora, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    job = Job(cluster, corpora, run_dir)
    job.when(reported(run_dir, 6))
    job.signal_rank(1, signal.SIGKILL)
    job.ends("COMPLETED")
    assert "too few nodes without node2: node2 is let in again" in job.log
    assert nodes_of_starts(run_dir) == ["node[1-2]", "node[1-2]"]
