"""How runs stand, told by run directories that are made by hand."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from surgstream.launch.__main__ import main
from surgstream.shards.storage.owner_record import Record, this_process
from surgstream.trainer.commands.status_page import duration, show
from surgstream.trainer.runs.jobs import jobs_of
from surgstream.trainer.runs.slurm import Word, ask_slurm
from surgstream.trainer.runs.state import RunState, read_run

NOW = 1795258800.0
HOUR = 3600.0

ELSEWHERE = Record(
    doing="training", host="node1", machine="another one", pid=12, started="3", job="4711", restart=0,
    since="2026-11-20 09:00:00 UTC",
)  # fmt: skip

Line = dict[str, Any]


def report(step: int, when: float, **more: object) -> Line:
    """A report of 20 steps of 2048 clips, half a second each."""
    return {
        "step": step, "time": when, "loss/total": 0.6481, "loss/reconstruction": 0.6466,
        "loss/reconstruction_of_mean": 0.9876, "progress/clips": step * 2048, "progress/epoch": step / 1000,
        "progress/last_step": 2000, "throughput/clips_per_second": 4096.0, "data/wait_seconds": 0.01,
        "time/step_seconds": 0.5, "data/retries_throttled": 0.0, **more,
    }  # fmt: skip


class Run:
    """A run directory to be: files with their contents, written some seconds before NOW."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def write(self, name: str, content: str, ago: float) -> "Run":
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        os.utime(path, (NOW - ago, NOW - ago))
        return self

    def lines(self, name: str, lines: list[Line], ago: float, torn: str = "") -> "Run":
        return self.write(name, "".join(json.dumps(line) + "\n" for line in lines) + torn, ago)

    def started(self, ago: float, ranks: int = 16) -> "Run":
        self.written_by(ELSEWHERE)
        return self.write(
            "environment.json", json.dumps({"world_size": ranks, "device": "NVIDIA H800"}), ago
        )

    def reports(self, *steps: int, ago: float = 5.0) -> "Run":
        """Reports every 10 s, the last of them `ago`."""
        times = [NOW - ago - 10 * back for back in reversed(range(len(steps)))]
        return self.lines("metrics.jsonl", list(map(report, steps, times)), ago)

    def saved(self, step: int, ago: float) -> "Run":
        folder = f"checkpoints/step_{step:08d}"
        self.write(f"{folder}/rank00000-000.safetensors", "x" * 1_000_000, ago)
        return self.write(f"{folder}/state.json", "y" * 500_000, ago)

    def job(self, ago: float, restart: int = 0, left: float = HOUR) -> "Run":
        path = self.folder / "jobs.jsonl"
        line = {
            "time": NOW - ago,
            "job": "4711",
            "restart": restart,
            "nodes": "node[1-2]",
            "end": NOW + left,
        }
        before = path.read_text() if path.exists() else ""
        return self.write("jobs.jsonl", before + json.dumps(line) + "\n", ago)

    def excludes(self, node: str, reason: str, left: float) -> "Run":
        with (self.folder / "jobs.jsonl").open("a") as file:
            line = {"time": NOW - 50, "excluded": node, "reason": reason, "until": NOW + left}
            file.write(json.dumps(line) + "\n")
        return self

    def written_by(self, record: Record | None) -> "Run":
        """A process that has not given the directory back."""
        if record is None:
            (self.folder / ".owner" / "00000001").unlink()
            return self
        return self.write(".owner/00000001", record.to_bytes().decode(), 5)

    def submitted(self, job: str) -> "Run":
        return self.lines("submitted.jsonl", [{"time": NOW - 9, "job": job}], 9)

    def read(self, *words: Word) -> RunState:
        return read_run(self.folder, NOW, {word.job: word for word in words})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "vitb")


LOG = "09:00:00 [rank 0/16] ERROR disk is gone\n09:00:01 [rank 0/16] INFO bye\n"
REASONS = {
    "stopped": "SIGUSR1 on rank 3", "failed": "step 41: nan", "crashed": "its process has ended; disk is gone",
}  # fmt: skip
STATES: dict[str, Callable[[Run], Run]] = {
    "not started": lambda run: run,
    "starting": lambda run: run.job(40).started(30),
    "training": lambda run: run.started(100).reports(20, 40, 60),
    "silent": lambda run: run.started(1000).reports(20, 40, 60, ago=301),
    "stopped": lambda run: (
        run.job(900).started(880).reports(20, 40).write("REQUEUE", "SIGUSR1 on rank 3\n", 1)
    ),
    "crashed": lambda run: (
        run.started(900).reports(20, 40).written_by(None).write("train.log", LOG, 5)
    ),
    "failed": lambda run: (
        run.job(900).started(880).reports(20, 40).write("FAILED", "step 41: nan\n", 1)
    ),
    "done": lambda run: run.started(900).reports(1980, 2000, ago=800).saved(2000, 790),
}


@pytest.mark.parametrize("state", STATES)
def test_states(run: Run, state: str) -> None:
    found = STATES[state](run).read()
    assert found.state == state
    assert found.reason == REASONS.get(state, "")


def word(state: str, reason: str = "None", job: str = "4711") -> Word:
    return Word(job=job, state=state, reason=reason)


def trained(run: Run) -> Run:
    return run.job(900).started(880).reports(20, 40)


def silent(run: Run) -> Run:
    return run.job(900).started(880).reports(20, 40, ago=700)


def unsaved(run: Run) -> Run:
    return run.job(900).started(880).reports(1980, 2000).saved(1900, 99)


def saved(run: Run) -> Run:
    return trained(run).write("REQUEUE", "SIGUSR1 on rank 3", 1)


@pytest.mark.parametrize(
    ("make", "words", "state", "reason"),
    [
        (
            lambda run: run.submitted("5"),
            [word("PENDING", "Priority", "5")],
            "waiting",
            "job 5 is PENDING (Priority)",
        ),
        (
            lambda run: run.submitted("5"),
            [word("CANCELLED", job="5")],
            "not started",
            "job 5 is CANCELLED",
        ),
        (lambda run: run.submitted("5"), [], "not started", ""),
        (trained, [word("RUNNING")], "training", ""),
        (
            lambda run: trained(run).submitted("5"),
            [word("RUNNING"), word("PENDING", "Dependency", "5")],
            "training",
            "",
        ),
        (
            trained,
            [word("OUT_OF_MEMORY")],
            "crashed",
            "job 4711 is OUT_OF_MEMORY; it left no word: see its log",
        ),
        (
            trained,
            [word("NODE_FAIL")],
            "crashed",
            "job 4711 is NODE_FAIL; it left no word: see its log",
        ),
        (trained, [word("CANCELLED")], "cancelled", "job 4711 is CANCELLED"),
        (trained, [word("PENDING", "BeginTime")], "waiting", "job 4711 is PENDING (BeginTime)"),
        (
            lambda run: trained(run).written_by(None),
            [word("RUNNING")],
            "waiting",
            "job 4711 is RUNNING, and decides what follows: its processes have ended",
        ),
        (saved, [word("CANCELLED")], "cancelled", "job 4711 is CANCELLED; SIGUSR1 on rank 3"),
        (
            saved,
            [word("PENDING", "BeginTime")],
            "waiting",
            "job 4711 is PENDING (BeginTime); SIGUSR1 on rank 3",
        ),
        (saved, [word("COMPLETING")], "waiting", "SIGUSR1 on rank 3"),
        (saved, [word("COMPLETED")], "stopped", "SIGUSR1 on rank 3"),
        (saved, [word("FORGOTTEN")], "stopped", "SIGUSR1 on rank 3"),
        (
            lambda run: trained(run).written_by(replace(ELSEWHERE, job="")),
            [word("COMPLETED")],
            "training",
            "",
        ),
        (trained, [word("FORGOTTEN")], "training", ""),
        (
            silent,
            [word("FORGOTTEN")],
            "crashed",
            "job 4711 is FORGOTTEN; it left no word: see its log",
        ),
        (
            unsaved,
            [word("OUT_OF_MEMORY")],
            "crashed",
            "job 4711 is OUT_OF_MEMORY; it left no word: see its log",
        ),
        (unsaved, [], "training", ""),
    ],
)
def test_slurm_is_believed_where_it_knows_the_run(
    run: Run, make: Callable[[Run], Run], words: list[Word], state: str, reason: str
) -> None:
    found = make(run).read(*words)
    assert (found.state, found.reason) == (state, reason)


def test_a_process_of_this_machine_is_looked_up(run: Run) -> None:
    here = this_process("training")
    assert run.started(9000).reports(20, ago=5000).written_by(here).read().state == "silent"
    dead = run.written_by(replace(here, started="1")).read()
    assert dead.state == "crashed" and dead.reason.startswith("its process has ended; ")
    assert f"  writer       training on {here.host}" in show([dead])


def test_jobs_are_looked_for_where_they_are_told(run: Run) -> None:
    assert jobs_of(run.folder) == ("", "")
    assert jobs_of(run.job(900).folder) == ("4711", "4711")
    assert jobs_of(run.submitted("5").folder) == ("5", "4711")


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f'#!/bin/sh\necho {name} >>"{folder}/calls"\n{script}\n')
    (folder / name).chmod(0o755)


def test_slurm_is_asked_once_for_all_and_its_accounting_for_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program(tmp_path, "squeue", "echo \"$@\" | grep -q 'jobs=1,2,3 ' && echo '2|PENDING|Resources'")
    program(
        tmp_path, "sacct", "echo '1|CANCELLED by 1000|None'; echo '2|RUNNING|None'; echo nonsense"
    )
    assert ask_slurm(["2", "1", "3", "2", "", "$(id)"]) == {
        "1": word("CANCELLED", job="1"),
        "2": word("PENDING", "Resources", job="2"),
        "3": word("FORGOTTEN", "", job="3"),
    }
    assert (tmp_path / "calls").read_text().split() == ["squeue", "sacct"]
    assert ask_slurm([]) == {}


def test_a_slurm_that_does_not_answer_has_forgotten_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program(tmp_path, "squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    assert ask_slurm(["1"]) == {}
    program(
        tmp_path, "squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"
    )
    program(tmp_path, "sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
    assert ask_slurm(["1"]) == {"1": word("FORGOTTEN", "", job="1")}
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert ask_slurm(["1"]) == {}


def test_nodes_that_a_run_leaves_out_are_told_until_their_time_is_over(run: Run) -> None:
    run.job(100).excludes("node3", "clock", -1).excludes("node7", "task 3: Killed", 23 * HOUR)
    found = run.started(90).excludes("node2", "a rank hung without a word", 24 * HOUR).read()
    assert found.job and (found.job.starts, found.job.id) == (1, "4711"), "they are no starts"
    assert jobs_of(run.folder) == ("4711", "4711")
    page = " ".join(show([found]).split())
    assert (
        "left out node2 for 1 d 0 h (a rank hung without a word); node7 for 23 h 0 min (task 3: Killed)"
        in page
    )


def test_a_start_makes_marks_and_earlier_reports_things_of_the_past(run: Run) -> None:
    run.started(900).reports(20, 40, ago=600).write("REQUEUE", "SIGTERM", 590)
    assert run.read().state == "stopped"
    assert run.job(30, restart=1).read().state == "starting"
    assert run.write("FAILED", "no GPU", 5).read().state == "failed"


def test_a_run_at_its_last_step_is_done_once_that_is_saved(run: Run) -> None:
    run.started(900).reports(1980, 2000).saved(1900, 100)
    assert run.read().state == "training"
    assert run.saved(2000, 1).read().state == "done"
    assert run.started(1).read().state == "starting", "with another max_steps, say"


def test_a_run_that_keeps_no_checkpoint_is_done_when_it_falls_silent(run: Run) -> None:
    assert run.started(900).reports(1980, 2000, ago=400).read().state == "done"


def test_a_probe_without_steps_is_done_with_its_test(run: Run) -> None:
    run.started(900).write("train.log", "", 5)
    assert run.read().state == "starting"
    run.written_by(None)
    assert run.read().state == "crashed"

    found = run.write("predictions/test_seed0.npz", "", 5).read()
    assert found.state == "done" and found.tested


def test_a_tested_run_that_is_started_again_is_done(run: Run) -> None:
    run.started(900).reports(20, 40, ago=600).saved(40, 600).started(60).written_by(None)
    assert run.read().state == "crashed"
    assert run.write("predictions/test.npz", "", 600).read().state == "done"


def test_a_finished_run_that_is_started_again_is_done_unless_it_says_otherwise(run: Run) -> None:
    run.started(900).reports(1980, 2000, ago=800).saved(2000, 790).started(60).written_by(None)
    assert run.read().state == "done"
    run.write("train.log", "10:00:00 [rank 0/1] ERROR no room on the disk\n", 50)
    assert run.read().state == "crashed"


def test_silence_is_measured_by_the_pauses_that_the_run_makes_and_broken_by_its_log(
    run: Run,
) -> None:
    calm = [report(20, NOW - 1600), report(40, NOW - 1400), report(60, NOW - 590)]
    run.started(1700).lines("metrics.jsonl", calm, 590)
    assert run.read().state == "training", "810 s lay between two of its reports"
    assert run.read().patience_seconds == 3 * 810
    assert run.reports(20, 40, 60, ago=301).read().state == "silent"
    assert run.reports(20, 40, 60, ago=299).read().state == "training", (
        "five minutes are no silence"
    )
    run.reports(20, 40, 60, ago=590)
    assert run.write("train.log", "no batch for 60 s", 10).read().state == "training"
    assert "train.log may say" in show([run.read()])


def test_a_run_may_take_a_quarter_of_an_hour_to_its_first_report(run: Run) -> None:
    assert run.started(899).read().state == "starting"
    assert run.started(901).read().state == "silent"


def test_time_left_counts_what_pauses_cost_since_the_last_start(run: Run) -> None:
    # Before the start at -100: an hour's gap. After it: 40 steps of 0.5 s in 30 s, so 0.25 s of pauses a step.
    times = [NOW - 4000, NOW - 80, NOW - 60, NOW - 50]
    run.started(100).lines("metrics.jsonl", list(map(report, (20, 40, 60, 80), times)), 50)
    found = run.read()
    assert (
        found.pace
        and found.pace.step_seconds == 0.5
        and found.pace.pause_seconds == pytest.approx(0.25)
    )
    assert found.seconds_left == pytest.approx((2000 - 80) * 0.75 - 50)
    assert run.write("FAILED", "why", 1).read().seconds_left == pytest.approx((2000 - 80) * 0.75), (
        "once it goes on"
    )
    assert found.last_epoch == pytest.approx(2.0)


def test_a_step_takes_what_the_last_ten_reports_say(run: Run) -> None:
    seconds = [9.0, *[0.4] * 5, *[0.6] * 5]
    lines = [
        report(20 * i, NOW - 500 + i, **{"time/step_seconds": s}) for i, s in enumerate(seconds, 1)
    ]
    found = run.started(600).lines("metrics.jsonl", lines, 5).read()
    assert found.pace and found.pace.step_seconds == pytest.approx(0.5)


def test_one_run_in_full(run: Run) -> None:
    slow = {
        "time/slowest_rank": 13,
        "time/slowest_host": "node2",
        "time/slowest_over_median": 1.081,
    }
    held_out = {"step": 1000, "time": NOW - 12, "held_out/total": 0.7, "held_out/reconstruction": 0.69,
                "held_out/reconstruction_of_mean": 0.992, "held_out/clips": 2048.0}  # fmt: skip
    lines = [
        report(980, NOW - 30, **{"data/retries_throttled": 2.0, "data/retries_broken_body": 1.0}),
        report(1000, NOW - 20, **{"data/retries_throttled": 1.0}),
        held_out,
        report(1020, NOW - 8, **slow),
    ]
    run.job(9 * HOUR).job(100, restart=1).started(90).saved(1000, 12).lines(
        "quarantine.jsonl", [{}, {}], 30
    )
    run.lines("metrics.jsonl", lines, 8, torn='{"step": 1040, "lo')
    page = show([run.read()])
    assert page == f"{run.folder}\n" + (
        "  state        training, last report 8 s ago\n"
        "  progress     step 1,020 of 2,000 (51.0 %), epoch 1.02 of 2.00\n"
        "  speed        4,096.0 clips/s, 0.500 s a step, 2.0 % of it waiting for data\n"
        "  time left    9 min, 980 steps; evaluations and checkpoints add 10.0 %\n"
        "  checkpoint   step 1,000, 12 s ago, 1.5 MB\n"
        "  machines     16 ranks on node[1-2], NVIDIA H800\n"
        "  job          4711; 2 starts, 1 requeue; ends in 1 h 0 min\n"
        "  writer       training on node1 (process 12, Slurm job 4711) since 2026-11-20\n"
        "               09:00:00 UTC\n"
        "  slowest      rank 13 on node2, 1.08 x the median\n"
        "  retries      1 broken body, 3 throttled; in the last 40 steps\n"
        "  bad clips    2, named in quarantine.jsonl\n"
        "  loss                training  of mean    held out  of mean  at step 1,000\n"
        "    total               0.6481               0.7000\n"
        "    reconstruction      0.6466   0.9876      0.6900   0.9920"
    )


def test_several_runs_are_a_table_that_fits_a_terminal(tmp_path: Path) -> None:
    runs = []
    for number, (state, make) in enumerate(STATES.items()):
        run = make(
            Run(
                tmp_path
                / f"{number}_{state.replace(' ', '_')}{'_and_a_long_name' * (state == 'silent')}"
            )
        )
        runs.append(run.read())
    page = (
        "run                    state         step   done  clips/s  waits    loss    left\n"
        "0_not_started          not started\n"
        "1_starting             starting\n"
        "2_training             training        60    3 %    4,096    2 %  0.6481  16 min\n"
        "...nt_and_a_long_name  silent          60    3 %    4,096    2 %  0.6481  16 min\n"
        "4_stopped              stopped         40    2 %    4,096    2 %  0.6481  16 min\n"
        "  SIGUSR1 on rank 3\n"
        "5_crashed              crashed         40    2 %    4,096    2 %  0.6481  16 min\n"
        "  its process has ended; disk is gone\n"
        "6_failed               failed          40    2 %    4,096    2 %  0.6481  16 min\n"
        "  step 41: nan\n"
        "7_done                 done         2,000  100 %    4,096    2 %  0.6481"
    )
    assert show(runs) == page
    assert max(map(len, page.splitlines())) <= 80


def test_a_long_reason_is_wrapped_and_cannot_steer_the_terminal(run: Run) -> None:
    page = show([run.started(9).write("FAILED", "nan\x1b[2J in\nloss " + "word " * 2000, 1).read()])
    assert "\x1b" not in page and "failed: nan[2J in loss" in page
    assert max(map(len, page.splitlines()[1:])) <= 80 and len(page) < 6000


def test_of_a_long_log_only_the_end_is_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surgstream.trainer.runs.json_lines._MAX_BYTES", 1000)
    run.started(90).lines("metrics.jsonl", [report(step, NOW - 5) for step in range(1, 2000)], 5)
    run.write("quarantine.jsonl", "{}\n" * 1000, 5)
    found = run.read()
    assert (found.step, found.retries_steps, found.bad_clips) == (1999, 2, 1000)


def test_what_an_older_version_wrote_is_told_as_far_as_it_goes(run: Run) -> None:
    line = {
        key: value
        for key, value in report(40, 0).items()
        if key not in ("time", "progress/last_step")
    }
    found = run.started(100).lines("metrics.jsonl", [line], 7).read()
    assert (found.state, found.step, found.report_seconds) == ("training", 40, 7)
    assert found.last_step is None and found.seconds_left is None
    assert "step 40, epoch 0.04" in show([found])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (99, "99 s"),
        (100, "2 min"),
        (3599, "1 h 0 min"),
        (7290, "2 h 2 min"),
        (86400 * 2.5, "2 d 12 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    good, bad = STATES["done"](Run(tmp_path / "good")), STATES["failed"](Run(tmp_path / "bad"))
    assert main(["status", str(good.folder)]) == 0
    assert capsys.readouterr().out == show([good.read()]) + "\n"
    assert main(["status", str(good.folder), str(bad.folder), "--json"]) == 1
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(run["run_dir"], run["state"]) for run in found] == [
        (str(good.folder), "done"), (str(bad.folder), "failed"),
    ]  # fmt: skip
    assert found[0]["checkpoint"] == {"step": 2000, "age_seconds": 790, "num_bytes": 1_500_000}
    assert main(["status", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.endswith("nowhere: expected a run directory, got nothing\n")


def test_following_ends_with_the_run(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    run.started(100).reports(1980, 2000)
    monkeypatch.setattr(time, "sleep", lambda _: run.saved(2000, 1))
    assert main(["status", str(run.folder), "--follow"]) == 0
    page = capsys.readouterr().out
    assert page.index("training, last report") < page.index("done, ") and "\x1b" not in page


def test_what_is_known_of_features_is_told(tmp_path: Path) -> None:
    run = Run(tmp_path / "run").started(ago=600)
    earlier = {
        "step": 20,
        "time": NOW - 40,
        "probe/accuracy": 0.2,
        "probe/accuracy_of_majority": 0.074,
    }
    later = {
        "step": 40,
        "time": NOW - 20,
        "probe/accuracy": 0.615,
        "probe/accuracy_of_majority": 0.074,
    }
    diverse = {
        "step": 40, "time": NOW - 10, "collapse/targets_effective_rank": 23.44, "collapse/targets_mean_cosine": 0.3,
        "collapse/predictions_effective_rank": 7.0, "collapse/predictions_mean_cosine": 0.91,
    }  # fmt: skip
    page = show(
        [run.lines("metrics.jsonl", [report(20, NOW - 50), earlier, later, diverse], ago=5).read()]
    )
    said = " ".join(page.split())
    assert "probe 61.5 % of unseen clips right, 7.4 % by the most frequent label alone" in said
    assert (
        "targets: effective rank 23.4, mean cosine 0.30; predictions: effective rank 7.0, mean cosine 0.91"
        in said
    )
    assert all(len(line) <= 80 for line in page.splitlines())
    plain = show([Run(tmp_path / "plain").started(ago=600).reports(20).read()])
    assert "\n  probe " not in plain and "\n  features " not in plain
