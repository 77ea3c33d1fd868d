"""`surgstream status`: how runs stand."""

import argparse
import json
import math
import os
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from surgstream.configs.columns import columns
from surgstream.configs.errors import ConfigError
from surgstream.configs.printable import CLEAR
from surgstream.trainer.runs.slurm import Word, ask_slurm
from surgstream.trainer.runs.standing import ENDED
from surgstream.trainer.runs.state import RunState, jobs_of, read_run

_WIDTH, _LABEL = 80, 13
_REFRESH_SECONDS, _REPRINT_SECONDS = 2.0, 60.0
_ASK_SECONDS = 60.0
"""How long Slurm is not asked again: its controller serves everybody."""


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream status`."""
    for run_dir in words.run_dirs:
        if not run_dir.is_dir():
            raise ConfigError(
                f"{run_dir}: expected a run directory, got {'a file' if run_dir.exists() else 'nothing'}"
            )

    in_place = words.follow and not words.json and sys.stdout.isatty()
    said, asked = dict[str, Word](), -math.inf

    while True:
        now = time.time()
        if time.monotonic() - asked >= _ASK_SECONDS:
            said, asked = (
                ask_slurm(job for run_dir in words.run_dirs for job in jobs_of(run_dir)),
                time.monotonic(),
            )
        runs = [read_run(run_dir, now, said) for run_dir in words.run_dirs]
        page = "\n".join(json.dumps(asdict(run)) for run in runs) if words.json else show(runs)

        if in_place:
            sys.stdout.write(CLEAR)
        sys.stdout.write(f"{page}\n")
        sys.stdout.flush()
        if not words.follow or all(run.state in ENDED for run in runs):
            return int(any(run.state in ("failed", "crashed") for run in runs))
        time.sleep(_REFRESH_SECONDS if in_place else _REPRINT_SECONDS)


def show(runs: Sequence[RunState]) -> str:
    """Lay out one run in full, or several as a table, in 80 columns."""
    return block(runs[0]) if len(runs) == 1 else table(runs)


def block(run: RunState) -> str:
    """One run in full."""
    lines = [run.run_dir]
    for label, text in _rows(run):
        indent = " " * (_LABEL + 2)
        lines += textwrap.wrap(
            text, _WIDTH, initial_indent=f"  {label:<{_LABEL}}", subsequent_indent=indent
        )
    return "\n".join([*lines, *_losses(run)])


def table(runs: Sequence[RunState]) -> str:
    """One line a run, called by what sets its directory apart; a long name keeps its end. Reasons stand below."""
    rows = [("state", "step", "done", "clips/s", "waits", "loss", "left")]
    for run in runs:
        share = run.step / run.last_step if run.step is not None and run.last_step else None
        rows.append(
            (
                run.state,
                _given(run.step, ","),
                _percent(share, 0),
                _given(run.clips_per_second, ",.0f"),
                _percent(run.wait_share, 0),
                _given(run.losses.get("total"), ".4f"),
                duration(run.seconds_left) if run.seconds_left else "",
            )
        )

    # Names get what the other columns leave of the line.
    others = max(map(len, columns(rows)))
    room = max(12, _WIDTH - others - 2)

    paths = [os.path.abspath(run.run_dir) for run in runs]
    root = os.path.commonpath([os.path.dirname(path) for path in paths])
    names = ["run", *(os.path.relpath(path, root) for path in paths)]
    names = [name if len(name) <= room else f"...{name[3 - room :]}" for name in names]

    lines = []
    reasons = ["", *(run.reason for run in runs)]
    aligned = columns([(name, *row) for name, row in zip(names, rows, strict=True)], left=2)
    for line, reason in zip(aligned, reasons, strict=True):
        lines.append(line)
        if reason:
            lines.append(f"  {textwrap.shorten(reason, _WIDTH - 2, placeholder=' ...')}")

    return "\n".join(lines)


def duration(seconds: float) -> str:
    """A time in its two largest units."""
    seconds = max(0, round(seconds))
    if seconds < 100:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} d {hours} h"


def _rows(run: RunState) -> Iterator[tuple[str, str]]:
    yield "state", _state(run)
    if run.step is not None:
        whole = (
            f" of {run.last_step:,} ({_percent(run.step / run.last_step)})" if run.last_step else ""
        )
        epochs = "" if run.epoch is None else f", epoch {run.epoch:,.2f}"
        epochs += "" if run.last_epoch is None else f" of {run.last_epoch:,.2f}"
        yield "progress", f"step {run.step:,}{whole}{epochs}"

    if run.clips_per_second is not None and run.pace is not None:
        step = f"{run.pace.step_seconds:.{3 if run.pace.step_seconds < 10 else 1}f} s a step"
        waits = (
            "" if run.wait_share is None else f", {_percent(run.wait_share)} of it waiting for data"
        )
        yield "speed", f"{run.clips_per_second:,.1f} clips/s, {step}{waits}"
    if run.seconds_left and run.pace and run.step is not None and run.last_step is not None:
        extra = run.pace.pause_seconds / run.pace.step_seconds
        # Less would be shown as 0.0 %.
        pauses = f"; evaluations and checkpoints add {_percent(extra)}" if extra >= 0.0005 else ""
        yield (
            "time left",
            f"{duration(run.seconds_left)}, {run.last_step - run.step:,} steps{pauses}",
        )

    if run.checkpoint:
        age, size = duration(run.checkpoint.age_seconds), _size(run.checkpoint.num_bytes)
        yield "checkpoint", f"step {run.checkpoint.step:,}, {age} ago, {size}"
    elif run.step is not None:
        yield "checkpoint", "none yet"
    yield from _features(run.features)
    yield from _machines(run)

    if run.retries:
        causes = ", ".join(
            f"{count:,} {cause.replace('_', ' ')}" for cause, count in sorted(run.retries.items())
        )
        yield "retries", f"{causes}; in the last {run.retries_steps:,} steps"
    if run.step is not None:
        yield (
            "bad clips",
            f"{run.bad_clips:,}" + (", named in quarantine.jsonl" if run.bad_clips else ""),
        )


def _features(found: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """What a linear readout makes of them, and how diverse they are."""
    if (accuracy := found.get("probe/accuracy")) is not None:
        majority = found.get("probe/accuracy_of_majority")
        beside = (
            "" if majority is None else f", {_percent(majority)} by the most frequent label alone"
        )
        yield "probe", f"{_percent(accuracy)} of unseen clips right{beside}"
    names = [
        key.removesuffix("_effective_rank") for key in found if key.endswith("_effective_rank")
    ]
    said = [
        f"{name.removeprefix('collapse/')}: effective rank {found[f'{name}_effective_rank']:.1f}, "
        f"mean cosine {found.get(f'{name}_mean_cosine', math.nan):.2f}"
        for name in names
    ]
    if said:
        yield "features", "; ".join(said)


def _machines(run: RunState) -> Iterator[tuple[str, str]]:
    if run.world_size is not None:
        nodes = f" on {run.job.nodes}" if run.job and run.job.nodes else ""
        yield (
            "machines",
            _counted(run.world_size, "rank") + nodes + (f", {run.device}" if run.device else ""),
        )

    if run.job:
        left, ends = run.job.seconds_left, ""
        if left is not None and run.state in ("starting", "training", "silent"):
            ends = (
                f"; ends in {duration(left)}"
                if left > 0
                else f"; its time ended {duration(-left)} ago"
            )
        yield (
            "job",
            f"{run.job.id}; {_counted(run.job.starts, 'start')}, {_counted(run.job.requeues, 'requeue')}{ends}",
        )

    if run.writer:
        yield "writer", run.writer
    if run.slowest:
        host = f" on {run.slowest['host']}" if run.slowest["host"] else ""
        over = (
            f", {run.slowest['over_median']:.2f} x the median" if run.slowest["over_median"] else ""
        )
        yield "slowest", f"rank {run.slowest['rank']}{host}{over}"


def _state(run: RunState) -> str:
    quiet, report = run.quiet_seconds or 0.0, run.report_seconds or 0.0
    if run.state == "training":
        late = "; train.log may say what it waits for" if report > run.patience_seconds else ""
        return f"training, last report {duration(report)} ago{late}"
    if run.state == "silent":
        since = time.strftime("%d %b %H:%M:%S", time.localtime(run.time - quiet))
        return f"silent for {duration(quiet)}, since {since}; see train.log"
    if run.reason:
        return f"{run.state}: {run.reason}"
    return {
        "starting": f"starting for {duration(quiet)}",
        "done": f"done, {duration(quiet)} ago",
    }.get(run.state, run.state)


def _losses(run: RunState) -> list[str]:
    """Training and held-out losses side by side, beside what predicting the mean scores."""
    sides = [
        (head, found)
        for head, found in (("training", run.losses), ("held out", run.held_out))
        if found
    ]
    # `NAME_of_mean` stands beside its loss, and has no row of its own.
    names = dict.fromkeys(
        name for _, found in sides for name in found if not name.endswith("_of_mean")
    )
    if not names:
        return []

    when = (
        f"  at step {run.held_out_step:,}" if run.held_out_step != run.step and run.held_out else ""
    )
    rows = [f"  {'loss':<16}" + "".join(f"{head:>12}{'of mean':>9}" for head, _ in sides) + when]

    for name in names:
        values = [found.get(key) for _, found in sides for key in (name, f"{name}_of_mean")]
        cells = [
            f"{_given(value, '.4f'):>{width}}"
            for value, width in zip(values, [12, 9] * len(sides), strict=True)
        ]
        rows.append(f"    {name:<14}{''.join(cells)}".rstrip())
    return rows


def _given(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _percent(share: float | None, digits: int = 1) -> str:
    return "" if share is None else f"{100 * share:.{digits}f} %"


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _size(num_bytes: int) -> str:
    unit, scale = next(
        (size for size in (("GB", 1e9), ("MB", 1e6)) if num_bytes >= size[1]), ("kB", 1e3)
    )
    return f"{num_bytes / scale:,.1f} {unit}"
