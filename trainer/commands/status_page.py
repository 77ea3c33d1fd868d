"""The page that `surgstream status` prints, in 80 columns."""

import math
import os
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from surgstream.configs.columns import columns
from surgstream.trainer.runs.state import RunState

_WIDTH = 80
_LABEL = 13


def show(runs: Sequence[RunState]) -> str:
    """Lay out one run in full, or several as a table, in 80 columns."""
    return block(runs[0]) if len(runs) == 1 else table(runs)


def block(run: RunState) -> str:
    """Lay out one run in full."""
    lines = [run.run_dir]
    for label, text in _rows(run):
        first = f"  {label:<{_LABEL}}"
        others = " " * len(first)
        lines += textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=others)
    return "\n".join([*lines, *_losses(run)])


def table(runs: Sequence[RunState]) -> str:
    """Lay out one line a run, named by the part of its path that differs. Reasons stand below."""
    rows = [("state", "step", "done", "clips/s", "waits", "loss", "left"), *map(_cells, runs)]

    # Names get what the other columns leave of the line.
    others = max(map(len, columns(rows)))
    names = _names(runs, room=max(12, _WIDTH - others - 2))
    reasons = ["", *(run.reason for run in runs)]

    lines = []
    aligned = columns([(name, *row) for name, row in zip(names, rows, strict=True)], left=2)
    for line, reason in zip(aligned, reasons, strict=True):
        lines.append(line)
        if reason:
            lines.append(f"  {textwrap.shorten(reason, _WIDTH - 2, placeholder=' ...')}")

    return "\n".join(lines)


def _cells(run: RunState) -> tuple[str, ...]:
    """A run's line in the table, without its name."""
    share = run.step / run.last_step if run.step is not None and run.last_step else None
    return (
        run.state,
        _given(run.step, ","),
        _percent(share, 0),
        _given(run.clips_per_second, ",.0f"),
        _percent(run.wait_share, 0),
        _given(run.losses.get("total"), ".4f"),
        duration(run.seconds_left) if run.seconds_left else "",
    )


def _names(runs: Sequence[RunState], room: int) -> list[str]:
    """The names of runs, after a title; a name longer than `room` keeps its end."""
    paths = [os.path.abspath(run.run_dir) for run in runs]
    root = os.path.commonpath([os.path.dirname(path) for path in paths])
    names = ["run", *(os.path.relpath(path, root) for path in paths)]
    return [name if len(name) <= room else f"...{name[3 - room :]}" for name in names]


def duration(seconds: float) -> str:
    """Write a time in its two largest units."""
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
    yield from _progress(run)

    if run.checkpoint:
        age = duration(run.checkpoint.age_seconds)
        size = _size(run.checkpoint.num_bytes)
        yield "checkpoint", f"step {run.checkpoint.step:,}, {age} ago, {size}"
    elif run.step is not None:
        yield "checkpoint", "none yet"

    yield from _task(run)
    yield from _features(run.features)
    yield from _machines(run)

    if run.retries:
        counts = [
            f"{count:,} {cause.replace('_', ' ')}" for cause, count in sorted(run.retries.items())
        ]
        yield "retries", f"{', '.join(counts)}; in the last {run.retries_steps:,} steps"
    if run.step is not None:
        named = ", named in quarantine.jsonl" if run.bad_clips else ""
        yield "bad clips", f"{run.bad_clips:,}{named}"


def _progress(run: RunState) -> Iterator[tuple[str, str]]:
    if run.step is not None:
        text = f"step {run.step:,}"
        if run.last_step:
            text += f" of {run.last_step:,} ({_percent(run.step / run.last_step)})"
        if run.epoch is not None:
            text += f", epoch {run.epoch:,.2f}"
        if run.last_epoch is not None:
            text += f" of {run.last_epoch:,.2f}"
        yield "progress", text

    if run.clips_per_second is not None and run.pace is not None:
        digits = 3 if run.pace.step_seconds < 10 else 1
        text = f"{run.clips_per_second:,.1f} clips/s, {run.pace.step_seconds:.{digits}f} s a step"
        if run.wait_share is not None:
            text += f", {_percent(run.wait_share)} of it waiting for data"
        yield "speed", text

    if run.seconds_left and run.pace and run.step is not None and run.last_step is not None:
        text = f"{duration(run.seconds_left)}, {run.last_step - run.step:,} steps"
        pauses = run.pace.pause_seconds / run.pace.step_seconds
        # Less would be shown as 0.0 %.
        if pauses >= 0.0005:
            text += f"; evaluations and checkpoints add {_percent(pauses)}"
        yield "time left", text


def _task(run: RunState) -> Iterator[tuple[str, str]]:
    """The newest metrics on validation videos, and whether the test was asked."""
    if run.validations:
        step, values = max(run.validations.items())
        shown = ", ".join(f"{name} {value:.4f}" for name, value in sorted(values.items()))
        yield "validation", f"{shown} at step {step:,}; {len(run.validations):,} so far"
    if run.tested:
        yield "test", "asked; in predictions"
    elif run.validations:
        yield "test", "not asked yet"


def _features(found: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """The accuracy of a linear readout of the features, and how diverse they are."""
    accuracy = found.get("probe/accuracy")
    if accuracy is not None:
        text = f"{_percent(accuracy)} of unseen clips right"
        majority = found.get("probe/accuracy_of_majority")
        if majority is not None:
            text += f", {_percent(majority)} by the most frequent label alone"
        yield "probe", text

    diverse = []
    for key, rank in found.items():
        if not key.endswith("_effective_rank"):
            continue
        name = key.removesuffix("_effective_rank")
        cosine = found.get(f"{name}_mean_cosine", math.nan)
        title = name.removeprefix("collapse/")
        of = "" if title == "features" else f"{title}: "
        diverse.append(f"{of}effective rank {rank:.1f}, mean cosine {cosine:.2f}")
    if diverse:
        yield "features", "; ".join(diverse)


def _machines(run: RunState) -> Iterator[tuple[str, str]]:
    if run.world_size is not None:
        text = _counted(run.world_size, "rank")
        if run.job and run.job.nodes:
            text += f" on {run.job.nodes}"
        if run.device:
            text += f", {run.device}"
        yield "machines", text

    if run.job:
        starts = _counted(run.job.starts, "start")
        text = f"{run.job.id}; {starts}, {_counted(run.job.requeues, 'requeue')}"
        left = run.job.seconds_left
        if left is not None and run.state in ("starting", "training", "silent"):
            if left > 0:
                text += f"; ends in {duration(left)}"
            else:
                text += f"; its time ended {duration(-left)} ago"
        yield "job", text

    if run.excluded:
        nodes = [
            f"{found.node} for {duration(found.until - run.time)} ({found.reason})"
            for found in run.excluded
        ]
        yield "left out", "; ".join(nodes)

    if run.writer:
        yield "writer", run.writer
    if run.slowest:
        text = f"rank {run.slowest['rank']}"
        if run.slowest["host"]:
            text += f" on {run.slowest['host']}"
        if run.slowest["over_median"]:
            text += f", {run.slowest['over_median']:.2f} x the median"
        yield "slowest", text


def _state(run: RunState) -> str:
    quiet = run.quiet_seconds or 0.0
    report = run.report_seconds or 0.0

    if run.state == "training":
        late = "; train.log may say what it waits for" if report > run.patience_seconds else ""
        return f"training, last report {duration(report)} ago{late}"
    if run.state == "silent":
        since = time.strftime("%d %b %H:%M:%S", time.localtime(run.time - quiet))
        return f"silent for {duration(quiet)}, since {since}; see train.log"
    if run.reason:
        return f"{run.state}: {run.reason}"
    if run.state == "starting":
        return f"starting for {duration(quiet)}"
    if run.state == "done":
        return f"done, {duration(quiet)} ago"
    return run.state


def _losses(run: RunState) -> list[str]:
    """Training and held-out losses side by side, each followed by the loss of predicting the mean."""
    sides = {"training": run.losses, "held out": run.held_out}
    sides = {head: losses for head, losses in sides.items() if losses}
    # `NAME_of_mean` stands in the row of its loss.
    keys = dict.fromkeys(chain.from_iterable(sides.values()))
    names = [key for key in keys if not key.endswith("_of_mean")]
    if not names:
        return []

    heads = "".join(f"{head:>12}{'of mean':>9}" for head in sides)
    if run.held_out and run.held_out_step not in (None, run.step):
        heads += f"  at step {run.held_out_step:,}"

    rows = [f"  {'loss':<16}{heads}"]
    for name in names:
        row = f"    {name:<14}"
        for losses in sides.values():
            row += f"{_given(losses.get(name), '.4f'):>12}"
            row += f"{_given(losses.get(f'{name}_of_mean'), '.4f'):>9}"
        rows.append(row.rstrip())
    return rows


def _given(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _percent(share: float | None, digits: int = 1) -> str:
    return "" if share is None else f"{100 * share:.{digits}f} %"


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _size(num_bytes: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:,.1f} {unit}"
    return f"{num_bytes / 1e3:,.1f} kB"
