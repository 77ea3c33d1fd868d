"""The state of a run, as the files of its run directory and Slurm tell it; imports nothing heavy.

Files may be missing, torn, just being replaced or of an older version: what they do not tell is None.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surgstream.configs.files import open_regular
from surgstream.shards.storage.owner_record import Record
from surgstream.trainer.runs.excluded import Exclusion, excluded_nodes
from surgstream.trainer.runs.files import (
    CHECKPOINTS,
    FAILED,
    JOBS,
    LOG,
    METRICS,
    QUARANTINE,
    REQUEUE,
    checkpoints_in,
    read_mark,
    tests_in,
)
from surgstream.trainer.runs.jobs import Job, jobs_of, last_job, starts_among
from surgstream.trainer.runs.json_lines import (
    get_float,
    get_int,
    get_str,
    read_object,
    tail,
    with_prefix,
)
from surgstream.trainer.runs.pace import Pace, pace_of, patience_of, seconds_left
from surgstream.trainer.runs.reports import Reports
from surgstream.trainer.runs.slurm import Word
from surgstream.trainer.runs.standing import Signs, State, decide, last_error, lives, read_writer

_ENVIRONMENT = "environment.json"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The newest published checkpoint."""

    step: int
    age_seconds: float
    num_bytes: int


@dataclass(frozen=True, kw_only=True)
class RunState:
    """The state of a run.

    Attributes:
        run_dir: Its directory.
        time: When it was read, in unix seconds.
        state: `starting` has not reported since its last start; `silent` has written neither to `metrics.jsonl` nor to
            `train.log` for longer than `patience_seconds`; `waiting` is in Slurm's queue; see `trainer.runs.standing`.
        reason: Why it is not training: the sentence of the mark that a run leaves, or what Slurm says.
        writer: Host, process and job of the process that writes there, or did when it was killed; empty without one.
        quiet_seconds: Since anything was written.
        report_seconds: Since the last report.
        patience_seconds: Three times the longest pause between two recent reports, and at least five minutes.
        step: Last reported step.
        last_step: The step after which the run ends.
        epoch: Epochs seen.
        last_epoch: Epochs at the last step.
        clips_per_second: Of the last report.
        wait_share: The share of a step that waits for data.
        pace: The time that each step takes; None before the first report.
        seconds_left: Steps left at that pace, less the time since the last report if the run is training.
        losses: The last training losses by name; most have a `NAME_of_mean`, the loss of predicting the mean.
        held_out: The same on held-out videos.
        held_out_step: When the held-out losses were taken.
        features: The newest measures of the features, under `probe/` and `collapse/`.
        validations: The metrics of a task on its validation videos, by step and name.
        tested: Whether the test videos of a task have been predicted.
        checkpoint: The newest one.
        job: The last one.
        excluded: Nodes that it leaves out, the newest first.
        world_size: Ranks at the last start.
        device: What rank 0 computes on.
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
    validations: dict[int, dict[str, float]]
    tested: bool
    checkpoint: Checkpoint | None
    job: Job | None
    excluded: list[Exclusion]
    world_size: int | None
    device: str | None
    slowest: dict[str, Any] | None
    retries: dict[str, int]
    retries_steps: int
    bad_clips: int


@dataclass(frozen=True, kw_only=True)
class _Times:
    """The times of a run's last events, in unix seconds; 0 is never.

    Attributes:
        now: The time at which the run directory is read.
        submitted: The last job started.
        set_up: Rank 0 last wrote `environment.json`.
        reported: Steps were last reported.
        written: Any file was last written.
    """

    now: float
    submitted: float
    set_up: float
    reported: float
    written: float

    @property
    def started(self) -> float:
        """The last start."""
        return max(self.submitted, self.set_up)


def read_run(run_dir: Path, now: float, words: Mapping[str, Word] | None = None) -> RunState:
    """Read the state of a run.

    Args:
        run_dir: Its directory; may be empty.
        now: The time, in unix seconds.
        words: What Slurm says of its jobs, as far as it was asked.
    """
    metrics = tail(run_dir / METRICS)
    lines = tail(run_dir / JOBS)
    jobs = starts_among(lines)
    environment = read_object(run_dir / _ENVIRONMENT)
    submitted = max((get_float(job, "time") or 0.0 for job in jobs), default=0.0)
    set_up = _changed(run_dir / _ENVIRONMENT)

    reports = Reports.of(metrics, started=max(submitted, set_up))
    last = reports.last
    reported = (get_float(last, "time") or _changed(run_dir / METRICS)) if last else 0.0
    written = max(submitted, set_up, _changed(run_dir / METRICS), _changed(run_dir / LOG))
    times = _Times(now=now, submitted=submitted, set_up=set_up, reported=reported, written=written)

    checkpoint = _checkpoint(run_dir / CHECKPOINTS, now)
    writer = read_writer(run_dir)
    state, reason = decide(_signs(run_dir, times, reports, checkpoint, writer, words or {}))
    pace = pace_of(reports.steps, reports.recent)
    passed = now - reported if state == "training" else 0.0

    return RunState(
        run_dir=str(run_dir),
        time=now,
        state=state,
        reason=reason,
        writer=str(writer or ""),
        quiet_seconds=now - written if written else None,
        report_seconds=now - reported if reported else None,
        patience_seconds=patience_of(reports.recent),
        step=reports.step,
        last_step=reports.last_step,
        epoch=get_float(last, "progress/epoch"),
        last_epoch=reports.last_epoch,
        clips_per_second=get_float(last, "throughput/clips_per_second"),
        wait_share=reports.wait_share,
        pace=pace,
        seconds_left=seconds_left(pace, reports.steps_left, passed),
        losses=dict(with_prefix(last, "loss/")),
        held_out=reports.held_out_losses,
        held_out_step=get_int(reports.held_out, "step"),
        features=reports.features,
        validations=reports.validations,
        tested=bool(tests_in(run_dir)),
        checkpoint=checkpoint,
        job=last_job(jobs, now),
        excluded=excluded_nodes(lines, now),
        world_size=get_int(environment, "world_size"),
        device=get_str(environment, "device"),
        slowest=reports.slowest,
        retries=reports.retries,
        retries_steps=reports.recent_steps,
        bad_clips=_count_lines(run_dir / QUARANTINE),
    )


def _signs(
    run_dir: Path,
    times: _Times,
    reports: Reports,
    checkpoint: Checkpoint | None,
    writer: Record | None,
    words: Mapping[str, Word],
) -> Signs:
    """Collect the signs by which the run's state is decided."""
    queued, job = jobs_of(run_dir)

    return Signs(
        failed=read_mark(run_dir, FAILED, since=times.submitted),
        requeue=read_mark(run_dir, REQUEUE, since=times.submitted),
        alive=lives(writer, has_begun=times.set_up > times.submitted),
        queued=words.get(queued),
        word=words.get(job) if writer is None or writer.job == job else None,
        saved=reports.finished
        and checkpoint is not None
        and checkpoint.step >= (reports.last_step or 0),
        finished=bool(tests_in(run_dir)) or (reports.finished and checkpoint is None),
        written=times.written > 0,
        quiet=times.now - times.written > patience_of(reports.recent),
        reported=times.reported >= times.started,
        error=last_error(run_dir / LOG),
    )


def _changed(path: Path) -> float:
    """The time of a file's last change, in unix seconds; 0 when there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _checkpoint(root: Path, now: float) -> Checkpoint | None:
    """The newest checkpoint that is still there once it is read."""
    for directory in checkpoints_in(root):
        with suppress(OSError):  # it may be pruned at this moment
            return Checkpoint(
                step=int(directory.name.removeprefix("step_")),
                age_seconds=now - (directory / "state.json").stat().st_mtime,
                num_bytes=sum(file.stat().st_size for file in directory.iterdir()),
            )
    return None


def _count_lines(path: Path) -> int:
    with suppress(OSError), open_regular(path) as file:
        pieces = iter(lambda: file.read(2**20), b"")
        return sum(piece.count(b"\n") for piece in pieces)
    return 0
