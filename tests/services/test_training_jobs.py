"""Training under a real Slurm: jobs whose time ends, that are requeued, cancelled, or lose a rank or a node."""

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

import psutil
import pytest

from surgstream.launch.__main__ import main
from tests.end_to_end.conftest import Corpora
from tests.end_to_end.runs import (
    RECIPE,
    audit,
    close,
    losses,
    metrics,
    newest,
    planned,
    reported,
    train,
    words,
)
from tests.helpers.shadows import write_shadows
from tests.services.jobs import LONG, ROOT, Job, consumed_as_planned, starts, surgstream
from tests.services.slurm import Cluster

ENDLESS = ("max_steps=100000", "epochs=100000", "checkpoint.every_steps=50")


@pytest.fixture(scope="module")
def alone(
    corpora: Corpora, tmp_path_factory: pytest.TempPathFactory
) -> dict[int, tuple[float, ...]]:
    """The losses of a run of one process."""
    return losses(train(corpora, tmp_path_factory.mktemp("alone") / "run", 1))


def started(job: Job, count: int) -> bool:
    """Whether ranks have begun to train so often."""
    return job.log.count("INFO starting: step 0") == count


@pytest.mark.parametrize("launcher", ["srun", "torchrun"])
def test_two_nodes_learn_what_one_process_learns(
    launcher: str,
    cluster: Cluster,
    corpora: Corpora,
    alone: dict[int, tuple[float, ...]],
    tmp_path: Path,
) -> None:
    job = Job(cluster, corpora, tmp_path / "run", f"site.launcher={launcher}")
    log = job.ends("COMPLETED")
    assert f"2 ranks by {launcher}" in log and log.splitlines()[-1].endswith("done")
    close(losses(metrics(tmp_path / "run")), alone)
    assert audit(tmp_path / "run") == planned(corpora, tmp_path / "run", 20 * 16, 2)
    (start,) = starts(tmp_path / "run")
    assert start["job"] == job.id and start["nodes"] == "node[1-2]" and start["restart"] == 0
    assert 0 < start["end"] - start["time"] <= 600, "the ten minutes that the site allows"
    (setup,) = json.loads((tmp_path / "run" / "provenance.json").read_text())["setups"]
    assert (setup["site"]["name"], setup["site"]["launcher"]) == ("cpu_test", launcher)
    assert "done" in surgstream(cluster, "status", str(tmp_path / "run"))


@pytest.mark.parametrize("kind", ["files", "folders"])
def test_those_who_keep_their_own_script_in_a_folder_with_our_names(
    kind: str,
    cluster: Cluster,
    corpora: Corpora,
    alone: dict[int, tuple[float, ...]],
    tmp_path: Path,
) -> None:
    folder = write_shadows(tmp_path / "mine", kind)
    options = [
        "--nodes=2",
        "--ntasks-per-node=1",
        "--gpus-per-node=0",
        "--cpus-per-task=1",
        "--time=10",
    ]
    path = f"PATH={Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    script = [
        *options,
        f"--export=ALL,{path}",
        f"--output={tmp_path}/log",
        ROOT / "launch/slurm.sbatch",
    ]
    job = cluster.submit(
        *script, *[str(ROOT / RECIPE), *words(corpora, tmp_path / "run")[1:]], folder=folder
    )
    ended = cluster.wait(job, timeout=120)
    assert ended["JobState"] == "COMPLETED", (tmp_path / "log").read_text()
    close(losses(metrics(tmp_path / "run")), alone)


def test_the_end_of_its_time_saves_and_requeues_and_the_same_command_finishes(
    cluster: Cluster, corpora: Corpora, tmp_path: Path
) -> None:
    """Slurm knows minutes, and may tell a job up to one earlier than asked."""
    run_dir = tmp_path / "run"
    short = ("checkpoint.every_steps=100000", "site.time='2'", "site.save_before_end_seconds=60")
    first = Job(cluster, corpora, run_dir, *ENDLESS, *short)
    first.when(lambda: first.num_restarts == 1)
    assert "time is nearly over: tells the run to save" in first.log
    assert "SIGUSR1" in first.log and "requeued, to go on from checkpoint 'step_" in first.log
    saved = newest(run_dir)
    assert saved, "a checkpoint out of turn"
    first.when(lambda: len(starts(run_dir)) == 2)
    assert starts(run_dir)[1]["checkpoint"] == saved.name and starts(run_dir)[1]["restart"] == 1

    last = int(saved.name.removeprefix("step_")) + 40
    second = Job(cluster, corpora, run_dir, *ENDLESS, f"max_steps={last}")
    assert second.state == "PENDING", "one job at a time works in a run directory"
    first.when(lambda: "resuming from" in first.log.partition("requeued")[2])
    cluster.cancel(first.id)
    first.ends("CANCELLED")
    second.ends("COMPLETED")
    newest_now = newest(run_dir)
    assert newest_now
    consumed_as_planned(corpora, run_dir)


def test_a_requeue_from_outside(cluster: Cluster, corpora: Corpora, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    job = Job(cluster, corpora, run_dir, *LONG, "max_steps=60")
    job.when(reported(run_dir, 6))
    cluster.requeue(job.id)
    job.ends("COMPLETED")
    assert job.num_restarts == 1
    assert starts(run_dir)[1]["checkpoint"], "it went on, from a checkpoint"
    consumed_as_planned(corpora, run_dir)


def test_a_cancelled_job_saves_and_stays_cancelled(
    cluster: Cluster, corpora: Corpora, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    job = Job(cluster, corpora, run_dir, *ENDLESS, "checkpoint.every_steps=100000")
    job.when(reported(run_dir, 6))
    cluster.cancel(job.id)
    log = job.ends("CANCELLED")
    assert job.num_restarts == 0 and len(starts(run_dir)) == 1
    assert newest(run_dir), f"it had the time to save: {log}"
    assert f"cancelled: job {job.id} is CANCELLED" in surgstream(cluster, "status", str(run_dir))
    consumed_as_planned(corpora, run_dir)


def test_told_to_save_a_job_is_requeued(cluster: Cluster, corpora: Corpora, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    job = Job(cluster, corpora, run_dir, *LONG, "site.launcher=torchrun")
    job.when(reported(run_dir, 6))
    cluster.cancel(job.id, "USR1")
    job.ends("COMPLETED")
    assert job.num_restarts == 1 and "requeued" in job.log
    consumed_as_planned(corpora, run_dir)


def test_a_lost_node_requeues_the_job(cluster: Cluster, corpora: Corpora, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    job = Job(cluster, corpora, run_dir, *LONG)
    job.when(reported(run_dir, 10))
    cluster.kill_node("node2")
    job.when(lambda: job.num_restarts == 1)
    cluster.start_node("node2")
    job.ends("COMPLETED")
    consumed_as_planned(corpora, run_dir)


def test_a_start_that_slurm_has_lost_gives_way_to_the_next(
    cluster: Cluster, corpora: Corpora, tmp_path: Path
) -> None:
    """Only the daemon of the node dies: the ranks there know nothing of it, and Slurm begins anew on another node."""
    run_dir = tmp_path / "run"
    job = Job(
        cluster,
        corpora,
        run_dir,
        *ENDLESS,
        "site.nodes=1",
        "site.ranks_per_node=2",
        "max_steps=1000",
    )
    job.when(reported(run_dir, 10))
    ghost = job.rank(0)
    node = cluster.show(job.id)["NodeList"]
    cluster.kill_slurmd(node)
    job.when(lambda: len(starts(run_dir)) == 2)
    job.when(lambda: not ghost.is_running() or ghost.status() == psutil.STATUS_ZOMBIE)
    assert (
        "which has taken over; this process ends without writing more"
        in (run_dir / "train.log").read_text()
    )
    cluster.start_node(node)
    job.when(lambda: "resuming from" in job.log)
    cluster.cancel(job.id, "USR1")
    job.when(lambda: job.num_restarts == 2)
    cluster.cancel(job.id)
    job.ends("CANCELLED")
    consumed_as_planned(corpora, run_dir)


def test_a_job_that_gets_nowhere_stops_itself(
    cluster: Cluster, corpora: Corpora, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    job = Job(cluster, corpora, run_dir, *ENDLESS, "checkpoint.every_steps=100000",
              "site.max_starts_without_progress=2")  # fmt: skip
    for count in (1, 2):
        job.when(partial(started, job, count))
        job.signal_rank(1, signal.SIGKILL)
    log = job.ends("FAILED")
    assert job.num_restarts == 1
    assert "started 2 times from checkpoint '' without reaching another: is not requeued" in log
    assert "ended with status" in (run_dir / "FAILED").read_text(), (
        "which `surgstream status` tells"
    )


def test_nor_does_one_that_slurm_itself_starts_again(
    cluster: Cluster, corpora: Corpora, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    job = Job(cluster, corpora, run_dir, *ENDLESS, "site.max_starts_without_progress=1")
    job.when((run_dir / "jobs.jsonl").exists)
    cluster.requeue(job.id)
    log = job.ends("FAILED")
    assert job.num_restarts == 1
    assert (
        "was requeued by Slurm; started 1 times from checkpoint '' without reaching another: is not requeued"
        in log
    )


def test_an_error_that_would_come_again_ends_the_job(
    cluster: Cluster, corpora: Corpora, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exploding = (
        "optim.base_lr=1000",
        "optim.weight_decay=1000",
        "optim.warmup_epochs=0",
        "optim.clip_grad_norm=0",
    )
    job = Job(cluster, corpora, tmp_path / "run", *exploding)
    log = job.ends("FAILED")
    assert job.num_restarts == 0
    assert "is not requeued, since this would come again" in log
    assert "expected finite losses" in (tmp_path / "run" / "FAILED").read_text()
    assert main(["status", str(tmp_path / "run")]) == 1
    assert "expected finite losses" in capsys.readouterr().out
