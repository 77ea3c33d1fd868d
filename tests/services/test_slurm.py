"""What launch/ relies on in Slurm, on a real one."""

from pathlib import Path

import pytest

from tests.helpers.ranks import wait_for
from tests.services.slurm import Cluster

WAITS = r"""
trap : TERM # which Slurm sends it now and then
trap "echo batch shell got USR1" USR1
echo start ${SLURM_RESTART_COUNT-first}
[ "$SLURM_RESTART_COUNT" ] && exit
srun --ntasks-per-node=1 bash -c 'trap "echo task got USR1" USR1; echo step; while :; do sleep 1 & wait; done' &
until wait; do :; done
scontrol -o show job $SLURM_JOB_ID | grep -oE '(JobState|Restarts)=\w+' | xargs echo told
"""


def submit(cluster: Cluster, folder: Path, script: str, *options: str) -> str:
    """Submit a script that prints to `folder`/output; returns the job's id."""
    (folder / "script").write_text(f"#!/bin/bash\n{script}\n")
    return cluster.submit(
        "-o", str(folder / "output"), "--open-mode=append", *options, folder / "script"
    )


def printed(folder: Path, line: str = "") -> list[str]:
    """What the script and its steps have printed, once a line is there."""
    output = folder / "output"
    wait_for(lambda: not line or (output.exists() and line in output.read_text().splitlines()))
    return output.read_text().splitlines()


def test_a_step_has_a_task_on_every_node_with_its_gpus(cluster: Cluster, tmp_path: Path) -> None:
    script = "srun --ntasks-per-node=1 bash -c 'echo $SLURMD_NODENAME $SLURM_PROCID $CUDA_VISIBLE_DEVICES'"
    assert (
        cluster.wait(submit(cluster, tmp_path, script, "-N2", "--gpus-per-node=2"))["JobState"]
        == "COMPLETED"
    )
    assert sorted(printed(tmp_path)) == ["node1 0 0,1", "node2 1 0,1"]


@pytest.mark.parametrize(
    ("act", "restarts", "end"), [("requeue", 1, "COMPLETED"), ("cancel", 0, "CANCELLED")]
)
def test_a_batch_shell_whose_step_was_ended_can_tell_by_what(
    cluster: Cluster, tmp_path: Path, act: str, restarts: int, end: str
) -> None:
    job = submit(cluster, tmp_path, WAITS, "-N2")
    printed(tmp_path, "step")
    getattr(cluster, act)(job)
    cluster.wait(job, end)
    told = f"told JobState=COMPLETING Restarts={restarts}"
    lines = [line for line in printed(tmp_path, told) if line.startswith(("start", "told"))]
    assert lines[:2] == ["start first", told]
    assert lines[2:] == ["start 1"] * restarts


def test_a_signal_reaches_tasks_or_the_batch_shell_as_one_likes(
    cluster: Cluster, tmp_path: Path
) -> None:
    job = submit(cluster, tmp_path, WAITS)
    printed(tmp_path, "step")
    cluster.cancel(job, "USR1")
    assert "batch shell got USR1" not in printed(tmp_path, "task got USR1")
    cluster.run("scancel", "--signal=USR1", "--batch", job)
    assert printed(tmp_path, "batch shell got USR1").count("task got USR1") == 1
    cluster.cancel(job)


def test_a_script_requeues_its_own_job(cluster: Cluster, tmp_path: Path) -> None:
    job = submit(
        cluster, tmp_path, "[ $SLURM_RESTART_COUNT ] || scontrol requeue $SLURM_JOB_ID; exit 3"
    )
    assert cluster.wait(job)["Restarts"] == "1"


def test_a_job_on_a_node_that_dies_is_requeued(cluster: Cluster, tmp_path: Path) -> None:
    job = submit(cluster, tmp_path, WAITS, "-N2")
    printed(tmp_path, "step")
    cluster.kill_node(node := cluster.show(job)["BatchHost"])
    cluster.wait(job, "PENDING")
    cluster.start_node(node)
    assert cluster.wait(job, "COMPLETED")["Restarts"] == "1"


def test_a_job_waits_for_all_tasks_of_an_array(cluster: Cluster, tmp_path: Path) -> None:
    array = submit(
        cluster, tmp_path, "sleep $SLURM_ARRAY_TASK_ID; echo $SLURM_ARRAY_TASK_ID", "--array=0-2"
    )
    (tmp_path / "after").mkdir()
    after = submit(
        cluster, tmp_path / "after", f"cat {tmp_path}/output", f"--dependency=afterok:{array}"
    )
    cluster.wait(after, "COMPLETED")
    assert sorted(printed(tmp_path / "after")) == ["0", "1", "2"]
