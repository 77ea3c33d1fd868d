"""How a run stands, as the files of its run directory tell it, and Slurm; imports nothing heavy.

Files may be missing, torn, replaced meanwhile or of an older version: what they do not tell is None.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surgstream.configs.files import open_regular
from surgstream.trainer.runs.files import (
    CHECKPOINTS,
    FAILED,
    JOBS,
    LOG,
    METRICS,
    QUARANTINE,
    REQUEUE,
    SUBMITTED,
    checkpoints_in,
    read_mark,
)
from surgstream.trainer.runs.json_lines import Line, group, number, read_object, tail, text, whole
from surgstream.trainer.runs.pace import Pace, pace_of, patience_of, seconds_left
from surgstream.trainer.runs.slurm import Word
from surgstream.trainer.runs.standing import Signs, State, decide, last_error, lives, read_writer


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The newest published checkpoint."""

    step: int
    age_seconds: float
    num_bytes: int


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the batch script wrote at its starts.

    Attributes:
        id: The last job.
        nodes: Its nodes, as Slurm writes them.
        seconds_left: Until Slurm ends it, below 0 when that is past; None without a limit.
        starts: How often a job of this run started.
        requeues: How many of those were a requeued job.
    """

    id: str
    nodes: str
    seconds_left: float | None
    starts: int
    requeues: int


@dataclass(frozen=True, kw_only=True)
class RunState:
    """How a run stands.

    Attributes:
        run_dir: Its directory.
        time: When it was read, in unix seconds.
        state: `starting` has not reported since its last start; `silent` has written neither to `metrics.jsonl` nor to
            `train.log` for longer than `patience_seconds`; `waiting` is in Slurm's queue; see `trainer.runs.standing`.
        reason: Why it is not training: the sentence of the mark that a run leaves, or what Slurm says.
        writer: Host, process and job of who writes there, or did when it was killed; empty when nobody does.
        quiet_seconds: Since anything was written.
        report_seconds: Since the last report.
        patience_seconds: Three times the longest pause between two recent reports, and at least five minutes.
        step: Last reported step.
        last_step: Where the run ends.
        epoch: Epochs seen.
        last_epoch: Epochs at the last step.
        clips_per_second: Of the last report.
        wait_share: The share of a step that waits for data.
        pace: How fast it goes; None before the first report.
        seconds_left: Steps left at that pace, less what has passed since the last report if the run is training.
        losses: The last training losses by name; beside most stands what predicting the mean scores, `NAME_of_mean`.
        held_out: The same on held-out videos.
        held_out_step: When those were taken.
        features: What was last measured of them, under `probe/` and `collapse/`.
        checkpoint: The newest one.
        job: The last one.
        world_size: Ranks at the last start.
        device: What the first of them computes on.
        slowest: The slowest rank: `rank`, `host`, and its time `over_median`.
        retries: Reads tried again, by cause, over the last `retries_steps` steps.
        retries_steps: See there.
        bad_clips: Damaged clips that others stood in for.
    """

    run_dir: str
    time: float
    state: State
    reason: str
    writer: str
    quiet_seconds: float | None
    report_seconds: float | None
    patience_seconds: float
    step: int | None
    last_step: int | None
    epoch: float | None
    last_epoch: float | None
    clips_per_second: float | None
    wait_share: float | None
    pace: Pace | None
    seconds_left: float | None
    losses: dict[str, float]
    held_out: dict[str, float]
    held_out_step: int | None
    features: dict[str, float]
    checkpoint: Checkpoint | None
    job: Job | None
    world_size: int | None
    device: str | None
    slowest: dict[str, Any] | None
    retries: dict[str, int]
    retries_steps: int
    bad_clips: int


def jobs_of(run_dir: Path) -> tuple[str, str]:
    """The Slurm job that was submitted last for a run, and the one that started last; empty where there is none."""
    submitted, started = (
        text((tail(run_dir / name) or [{}])[-1], "job") or "" for name in (SUBMITTED, JOBS)
    )
    return submitted or started, started


def read_run(run_dir: Path, now: float, words: Mapping[str, Word] | None = None) -> RunState:
    """Read how a run stands.

    Args:
        run_dir: Its directory; may be empty.
        now: The time, in unix seconds.
        words: What Slurm says of its jobs, as far as it was asked.
    """
    metrics, jobs = tail(run_dir / METRICS), tail(run_dir / JOBS)
    environment = read_object(run_dir / "environment.json")
    submitted = max((number(job, "time") or 0.0 for job in jobs), default=0.0)
    started = max(submitted, _changed(run_dir / "environment.json"))
    reports = [
        line
        for line in metrics
        if whole(line, "step") is not None and number(line, "time/step_seconds")
    ]
    last: Line = reports[-1] if reports else {}
    reported = (number(last, "time") or _changed(run_dir / METRICS)) if last else 0.0
    recent = [line for line in reports if (number(line, "time") or -1.0) >= started]
    held_out = next(
        (line for line in reversed(metrics) if number(line, "held_out/total") is not None), {}
    )
    checkpoint = _checkpoint(run_dir / CHECKPOINTS, now)

    written = max(started, *(_changed(run_dir / name) for name in (METRICS, LOG)))
    patience = patience_of(recent)
    step, last_step = whole(last, "step"), whole(last, "progress/last_step")
    finished = step is not None and last_step is not None and step >= last_step
    writer, (queued, job) = read_writer(run_dir), jobs_of(run_dir)
    state, reason = decide(
        Signs(
            failed=read_mark(run_dir, FAILED, since=submitted),
            requeue=read_mark(run_dir, REQUEUE, since=submitted),
            alive=lives(writer, has_begun=_changed(run_dir / "environment.json") > submitted),
            queued=(words or {}).get(queued),
            word=(words or {}).get(job) if writer is None or writer.job == job else None,
            saved=finished and checkpoint is not None and checkpoint.step >= (last_step or 0),
            finished=finished and checkpoint is None,
            written=written > 0,
            quiet=now - written > patience,
            reported=reported >= started,
            error=last_error(run_dir / LOG),
        )
    )

    pace = pace_of(reports, recent)
    steps_left = max(0, last_step - step) if last_step is not None and step is not None else None
    step_seconds, wait_seconds = (
        number(last, "time/step_seconds"),
        number(last, "data/wait_seconds"),
    )
    return RunState(
        run_dir=str(run_dir),
        time=now,
        state=state,
        reason=reason,
        writer=str(writer or ""),
        quiet_seconds=now - written if written else None,
        report_seconds=now - reported if reported else None,
        patience_seconds=patience,
        step=step,
        last_step=last_step,
        epoch=number(last, "progress/epoch"),
        last_epoch=_last_epoch(last, steps_left),
        clips_per_second=number(last, "throughput/clips_per_second"),
        wait_share=wait_seconds / step_seconds
        if step_seconds and wait_seconds is not None
        else None,
        pace=pace,
        seconds_left=seconds_left(pace, steps_left, now - reported if state == "training" else 0.0),
        losses=dict(group(last, "loss/")),
        held_out={name: value for name, value in group(held_out, "held_out/") if name != "clips"},
        held_out_step=whole(held_out, "step"),
        features={
            f"{kind}{name}": value
            for line in metrics
            for kind in ("probe/", "collapse/")
            for name, value in group(line, kind)
        },
        checkpoint=checkpoint,
        job=_job(jobs, now),
        world_size=whole(environment, "world_size"),
        device=text(environment, "device"),
        slowest=_slowest(last),
        retries=_retries(recent),
        retries_steps=recent[-1]["step"] - recent[0]["step"] if len(recent) > 1 else 0,
        bad_clips=_count_lines(run_dir / QUARANTINE),
    )


def _changed(path: Path) -> float:
    """When a file was last written, in unix seconds; 0 when there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _last_epoch(last: Line, steps_left: int | None) -> float | None:
    """Epochs at the last step: what the steps left add, at the clips a step and clips an epoch of the last report."""
    names = ("progress/epoch", "progress/clips", "throughput/clips_per_second", "time/step_seconds")
    epoch, clips, rate, seconds = (number(last, name) for name in names)
    if not epoch or not clips or not rate or not seconds or steps_left is None:
        return None
    return epoch + steps_left * rate * seconds * epoch / clips


def _slowest(last: Line) -> dict[str, Any] | None:
    rank = whole(last, "time/slowest_rank")
    if rank is None:
        return None
    return {
        "rank": rank,
        "host": text(last, "time/slowest_host"),
        "over_median": number(last, "time/slowest_over_median"),
    }


def _retries(recent: Sequence[Line]) -> dict[str, int]:
    causes = Counter[str]()
    for line in recent:
        causes.update({cause: int(count) for cause, count in group(line, "data/retries_") if count})
    return dict(causes)


def _checkpoint(root: Path, now: float) -> Checkpoint | None:
    for directory in checkpoints_in(root):
        with suppress(OSError):  # it may be pruned meanwhile
            return Checkpoint(
                step=int(directory.name.removeprefix("step_")),
                age_seconds=now - (directory / "state.json").stat().st_mtime,
                num_bytes=sum(file.stat().st_size for file in directory.iterdir()),
            )
    return None


def _job(jobs: Sequence[Line], now: float) -> Job | None:
    if not jobs:
        return None
    last, end = jobs[-1], number(jobs[-1], "end")
    return Job(
        id=text(last, "job") or "",
        nodes=text(last, "nodes") or "",
        seconds_left=end - now if end else None,
        starts=len(jobs),
        requeues=sum(bool(number(job, "restart")) for job in jobs),
    )


def _count_lines(path: Path) -> int:
    with suppress(OSError), open_regular(path) as file:
        return sum(piece.count(b"\n") for piece in iter(lambda: file.read(2**20), b""))
    return 0
