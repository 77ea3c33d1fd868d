"""Which nodes a batch script leaves out of its next start, with programs that stand in for Slurm's."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from surgstream.launch.__main__ import main
from surgstream.launch.errors import LaunchError
from surgstream.launch.site import Site
from surgstream.launch.slurm import render
from surgstream.trainer.runs.excluded import excluded_nodes, forget_nodes, nodes_excluded_by

SITE = Site(time="1", nodes=4, gpus_per_node=2)
PROGRAMS = {
    "srun": """cat "$FOLDER/said" >&2; [ ! -s "$FOLDER/unfit" ] || cp "$FOLDER/unfit" "$SURGSTREAM_UNFIT"; exit 9""",
    "squeue": "echo NONE",
    "sbatch": """echo "$*" >>"$FOLDER/tried"
        list=${*: -2:1}; list=${list#--exclude=}; names=(${list//,/ }); (( ${#names[@]} <= SPARE ))""",
    "scontrol": """case "$*" in
        "show hostnames node[1-4]") printf 'node%d\\n' 1 2 3 4 ;;
        "show hostnames "*) echo "${3//,/ }" | xargs -n1 ;;
        *"show job 7") echo "JobId=7 JobState=$STATE Dependency=(null) Restarts=0 BatchFlag=1" ;;
        "requeue 7") echo requeue >>"$FOLDER/done" ;;
        update*) echo "$*" >>"$FOLDER/done" ;;
        *) exit 1 ;;
    esac""",
}
KILLED = """\
srun: error: node2: task 3: Killed
srun: launch/slurm: _step_signal: Terminating StepId=1.0
srun: error: node1: tasks 0-1: Killed
"""


class Start:
    """A start of a job that fails; its run directory is there from start to start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_dir = folder / "run"
        for name, script in PROGRAMS.items():
            (folder / name).write_text(f"#!/usr/bin/env bash\n{script}\n")
            (folder / name).chmod(0o755)
        self.run_dir.mkdir()

    def fails(
        self,
        said: str = "",
        *,
        unfit: str = "",
        site: Site = SITE,
        spare: int = 9,
        state: str = "RUNNING Reason=None",
    ) -> str:
        """Run it, on nodes 1 to 4; returns its log."""
        (self.folder / "said").write_text(said)
        (self.folder / "unfit").write_text(unfit)
        script = self.folder / "script"
        script.write_text(render(site, ["pretrain"], run_dir=self.run_dir, name="run"))

        job = {
            "JOB_ID": "7",
            "NTASKS": "8",
            "JOB_NUM_NODES": "4",
            "JOB_NODELIST": "node[1-4]",
            "JOB_PARTITION": "h800",
            "JOB_ACCOUNT": "lab",
        }
        environment = {
            **os.environ,
            **{f"SLURM_{name}": value for name, value in job.items()},
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "FOLDER": str(self.folder),
            "SPARE": str(spare),
            "STATE": state,
        }
        with (self.folder / "log").open("a") as log:
            subprocess.run(["bash", script], env=environment, stdout=log, stderr=log, timeout=60)
        return (self.folder / "log").read_text()

    def done(self) -> list[str]:
        """What Slurm was told last, in order."""
        path = self.folder / "done"
        told = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return told

    def noted(self) -> dict[str, str]:
        """The nodes that the run leaves out now, and why."""
        return {found.node: found.reason for found in nodes_excluded_by(self.run_dir)}

    def note(self, **line: Any) -> None:
        with (self.run_dir / "jobs.jsonl").open("a") as file:
            file.write(json.dumps({"time": time.time(), **line}) + "\n")


@pytest.fixture
def start(tmp_path: Path) -> Start:
    return Start(tmp_path)


def waits(*ranks: int) -> str:
    return "".join(
        f"rank {rank}/8 on node{rank // 2 + 1}: has not moved for 8 s, so it\n" for rank in ranks
    )


@pytest.mark.parametrize(
    ("said", "node", "reason"),
    [
        (KILLED, "node2", "task 3: Killed"),
        ("srun: error: node4: tasks 6-7: Segmentation fault (core dumped)\n", "node4",
         "tasks 6-7: Segmentation fault (core dumped)"),
        ("srun: error: node1: task 0: Exited with exit code 139\n", "node1",
         "task 0: Exited with exit code 139"),
        (waits(0, 1, 2, 3, 4, 6, 7) + "srun: error: node1: task 0: Exited with exit code 1\n",
         "node3", "a rank hung without a word"),
        (waits(0, 1, 2, 3, 4, 6, 7) + "srun: error: node1: task 0: Exited with exit code 1\n" + waits(5),
         "node3", "a rank hung without a word"),
    ],
    ids=["killed", "segmentation fault", "in a container", "frozen", "frozen, and woken to be ended"],
)  # fmt: skip
def test_the_node_of_the_rank_that_failed_first_is_left_out(
    said: str, node: str, reason: str, start: Start
) -> None:
    log = start.fails(said)
    assert f"{node}: {reason}; is left out for 24 hours" in log
    assert start.noted() == {node: reason}
    assert start.done() == ["requeue", f"update JobId=7 ExcNodeList={node}"]


def test_ranks_that_tell_of_nodes_are_believed_first(start: Start) -> None:
    start.fails(KILLED, unfit='node3 GPUs: \\"6\\" seen\nnode4 clock\n')
    assert start.noted() == {"node4": "clock", "node3": 'GPUs: "6" seen'}
    assert start.done()[1] == "update JobId=7 ExcNodeList=node4,node3"
    start.fails()
    assert len(start.noted()) == 2, "what an earlier start told is not told again"


@pytest.mark.parametrize(
    "said",
    [
        "",
        "srun: error: node2: task 3: Exited with exit code 1\n" + KILLED,
        "srun: error: node[1-4]: tasks 0-7: Segmentation fault\n",
        waits(*range(8)),
        waits(0),
    ],
    ids=["nothing", "an error that ends the others", "all nodes", "all ranks wait", "most hang"],
)
def test_what_is_not_for_the_sake_of_a_few_nodes_leaves_none_out(said: str, start: Start) -> None:
    start.fails(said)
    assert start.noted() == {} and start.done() == ["requeue"]


def test_neither_a_time_limit_nor_a_run_that_saved_is_any_nodes_fault(start: Start) -> None:
    start.fails(KILLED, state="COMPLETING Reason=TimeLimit")
    assert start.noted() == {} and start.done() == ["requeue"]

    (start.folder / "srun").write_text(
        f"#!/bin/sh\ncat $FOLDER/said >&2\necho SIGUSR1 >{start.run_dir}/REQUEUE\n"
    )
    start.fails(KILLED)
    assert start.noted() == {} and start.done() == ["requeue"]


def test_only_what_this_start_says_counts(start: Start) -> None:
    start.fails(KILLED)
    start.fails("srun: error: node1: task 0: Exited with exit code 1\n")
    starts = (start.run_dir / "jobs.jsonl").read_text()
    assert starts.count('"excluded"') == 1 and starts.count('"restart"') == 2


def test_nodes_come_back_when_their_time_is_over_or_they_are_forgotten(start: Start) -> None:
    start.note(excluded="node8", reason="old", until=int(time.time()) - 1)
    start.note(excluded="node9", reason="new", until=int(time.time()) + 3600)
    start.fails()
    assert start.done() == ["requeue", "update JobId=7 ExcNodeList=node9"]

    forget_nodes(start.run_dir)
    start.fails()
    assert start.noted() == {} and start.done() == ["requeue", "update JobId=7 ExcNodeList="]
    forget_nodes(start.run_dir)
    assert (start.run_dir / "jobs.jsonl").read_text().count('"forgotten"') == 1


def test_no_more_are_left_out_than_the_site_says_and_slurm_can_do_without(start: Start) -> None:
    for number in range(5, 9):
        start.note(excluded=f"node{number}", reason="", until=int(time.time()) + 3600)
    start.fails()
    assert start.done()[1] == "update JobId=7 ExcNodeList=node8,node7", "the newest two"

    site = Site(time="1", nodes=4, gpus_per_node=2, exclude="node99", max_excluded_nodes=3)
    log = start.fails(site=site, spare=2)
    assert start.done()[1] == "update JobId=7 ExcNodeList=node99,node8"
    assert "too few nodes without node99,node8,node7: node7 is let in again" in log
    tried = (start.folder / "tried").read_text()
    assert "--test-only --nodes=4 --partition=h800 --account=lab --exclude=" in tried


def test_a_site_may_leave_out_none(start: Start) -> None:
    start.fails(KILLED, site=Site(time="1", nodes=4, gpus_per_node=2, max_excluded_nodes=0))
    assert start.noted() == {} and start.done() == ["requeue"]


def test_what_comes_again_on_other_nodes_is_none_of_theirs(start: Start) -> None:
    for _ in range(3):
        start.fails(KILLED)
    assert (start.run_dir / "FAILED").exists() and start.noted() == {}


def test_a_new_job_leaves_them_out_as_well(
    start: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = list[tuple[str, ...]]()
    too_many = "node7"
    monkeypatch.setattr(
        "surgstream.launch.jobs.would_take", lambda _, exclude: too_many not in exclude
    )
    monkeypatch.setattr(
        "surgstream.launch.jobs.submit", lambda _, *options: asked.append(options) or "9"
    )
    for node in ("node7", "node8"):
        start.note(excluded=node, reason="task 1: Killed", until=int(time.time()) + 3600)
    words = ["launch", "slurm", "cpu_test", "surgvista_tiny", f"run_dir={start.run_dir}"]

    assert main([*words, "site.exclude=node99"]) == 0
    page = capsys.readouterr().out
    assert "left out  node8: task 1: Killed\n" in page and too_many not in page
    assert main([*words, "--forget-nodes"]) == 0
    assert "left out" not in capsys.readouterr().out
    assert asked == [("--exclude=node99,node8",), ()] and start.noted() == {}


def test_a_job_that_slurm_refuses_forgets_no_node(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> str:
        raise LaunchError("sbatch refused")

    monkeypatch.setattr("surgstream.launch.jobs.submit", refuse)
    start.note(excluded="node7", reason="task 1: Killed", until=int(time.time()) + 3600)
    words = ["launch", "slurm", "cpu_test", "surgvista_tiny", f"run_dir={start.run_dir}"]
    assert main([*words, "--forget-nodes"]) == 1
    assert list(start.noted()) == ["node7"]


def test_a_node_is_told_once_with_its_newest_reason() -> None:
    lines = [
        {"excluded": "node1", "reason": "first", "until": 10},
        {"excluded": "node2", "reason": "second", "until": 20},
        {"excluded": "node1", "reason": "third", "until": 30},
    ]
    assert [(found.node, found.reason) for found in excluded_nodes(lines, now=15.0)] == [
        ("node1", "third"),
        ("node2", "second"),
    ]
