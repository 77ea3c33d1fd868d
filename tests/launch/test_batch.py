"""What a batch script does when its surroundings misbehave, with programs that stand in for Slurm's."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from surgstream.launch.site import Site
from surgstream.launch.slurm import render

PROGRAMS = {
    "srun": 'echo $$ >>"$FOLDER/steps"; while [[ $1 == -* ]]; do shift; done; SLURM_PROCID=0 exec "$@"',
    "squeue": "echo NONE",
    "scancel": "",
    "sleep": "",
    "surgstream": "exit 9",
    "scontrol": """case "$*" in
        "show hostnames node1") echo node1 ;;
        *"show job 7") # the last task of an array, so all are told of
            away && echo "JobId=6 ArrayJobId=7 JobState=RUNNING Restarts=5 BatchFlag=1" &&
                echo "JobId=7 JobState=$STATE Dependency=(null) Restarts=0 BatchFlag=1" ;;
        "requeue 7") away && touch "$FOLDER/requeued" ;;
        *) exit 1 ;;
    esac""",
    "away": """echo >>"$FOLDER/asked"; (( $(wc -l <"$FOLDER/asked") % 3 == 0 ))""",
    "torchrun": f'echo "$@"; {sys.executable} "$FOLDER/rank.py"; exit $?',
}
RANK = """
import os, signal, time
for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, lambda number, _: print("rank got", number, flush=True))
print("ready", flush=True)
while not os.path.exists(os.environ["FOLDER"] + "/end"):
    time.sleep(0.01)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What a job of one node and one task finds."""
    for name, script in PROGRAMS.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{script}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "rank.py").write_text(RANK)
    job = {"JOB_ID": "7", "NTASKS": "1", "JOB_NUM_NODES": "1", "JOB_NODELIST": "node1"}
    here = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "FOLDER": str(tmp_path),
        "STATE": "RUNNING Reason=None",
    }
    return {**os.environ, **here, **{f"SLURM_{name}": value for name, value in job.items()}}


def start(site: Site, environment: dict[str, str]) -> "subprocess.Popen[str]":
    folder = Path(environment["FOLDER"])
    script = folder / "script"
    script.write_text(render(site, ["pretrain"], run_dir=folder / "run", name="run"))
    return subprocess.Popen(
        ["bash", script],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def log(site: Site, environment: dict[str, str]) -> str:
    return start(site, environment).communicate(timeout=60)[0]


def test_a_controller_that_is_away_is_asked_again(
    environment: dict[str, str], tmp_path: Path
) -> None:
    assert "ended with status 9; requeued" in log(Site(time="1"), environment)
    assert (tmp_path / "requeued").exists()
    assert '"end": 0}' in (tmp_path / "run" / "jobs.jsonl").read_text(), "a job without an end"


def test_a_job_that_ran_into_its_limit_goes_on_and_a_cancelled_one_does_not(
    environment: dict[str, str],
) -> None:
    assert "; requeued" in log(
        Site(time="1"), environment | {"STATE": "COMPLETING Reason=TimeLimit"}
    )
    assert "is left to them" in log(
        Site(time="1"), environment | {"STATE": "COMPLETING Reason=None"}
    )


def test_what_fails_before_training_is_decided_on_as_training_is(
    environment: dict[str, str],
) -> None:
    assert "ended with status 3; requeued" in log(
        Site(time="1", setup_commands=("exit 3",)), environment
    )


def test_checkpoints_may_lie_elsewhere(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "step_00000040").mkdir(parents=True)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").symlink_to(tmp_path / "elsewhere")
    assert "to go on from checkpoint 'step_00000040'" in log(Site(time="1"), environment)


def test_ranks_of_torchrun_get_the_signals_of_its_task(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with start(Site(time="1", launcher="torchrun"), environment) as job:
        assert job.stdout
        lines = iter(job.stdout.readline, "")
        started = next(line for line in lines if "--rdzv-endpoint" in line)
        assert "is_host=1" in started and "endpoint=node1:20259" in started, (
            "the address is not told: the name will do"
        )
        assert next(lines) == "ready\n"
        for number in (signal.SIGUSR2, signal.SIGUSR1, signal.SIGTERM):
            os.kill(int((tmp_path / "steps").read_text()), number)
            assert next(lines) == f"rank got {int(number)}\n"
        (tmp_path / "end").touch()
        assert job.wait(timeout=60) == 0, "torchrun's own status"
