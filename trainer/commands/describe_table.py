"""What `surgstream describe` found, as people read it, in 80 columns."""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any

from surgstream.configs.columns import columns

_COLUMNS = 80

Tree = Mapping[str, Any]


def table(tree: Tree) -> str:
    """Lay out what `trainer.commands.describe.describe` returns."""
    sections = [_model(tree), _memory(tree), _run(tree)]
    if "disk_bytes" in tree:
        sections.append(_disk(tree["disk_bytes"]))
    if "datasets" in tree:
        sections.append(_datasets(tree["datasets"]))
    if tree.get("warnings"):
        sections.append(_warnings(tree["warnings"]))
    return "\n\n".join("\n".join(section) for section in sections)


def _model(tree: Tree) -> Iterator[str]:
    parameters, flops = tree["parameters"], tree["flops_per_clip"]
    rows = [(tree["objective"], "parameters", "GFLOP a clip")]
    for part in dict.fromkeys([*flops, *parameters]):
        if part not in ("total", "trainable"):
            rows.append((part, _given(parameters.get(part), ","), _gflop(flops.get(part))))
    rows += [
        ("trained", f"{parameters['trainable']:,}", ""),
        ("together", "", _gflop(flops["total"])),
    ]
    yield from _aligned(rows)


def _memory(tree: Tree) -> Iterator[str]:
    batch, sizes = tree["batch"], tree["memory_gib"]
    parts = [
        f"{name} {size:.1f}" for name, size in sizes.items() if name != "total" and size >= 0.05
    ]
    gpus = "a GPU" if batch["world_size"] == 1 else f"each of {batch['world_size']} GPUs"
    yield f"{gpus} holds about {sizes['total']:.1f} GiB, and what frameworks take beside"
    yield from _indented(", ".join(parts))


def _run(tree: Tree) -> Iterator[str]:
    batch, tokens = tree["batch"], tree["tokens"]
    ranks, accumulated = batch["world_size"], batch["grad_accum_steps"]
    spread = f"{ranks} x {batch['micro']} at once x {accumulated} accumulated"
    yield f"a step      {_count(batch['global'], 'clip')}: {spread}"
    counted = (
        f"of which the encoder sees {tokens['visible']:,}, and {tokens['masked']:,} are predicted"
    )
    yield from _labelled("a clip", f"{tokens['clip']:,} tokens, {counted}")
    yield f"            {_span(tree['clip'])}"

    # Without a corpus and without `clips_per_epoch` nothing is known of the run.
    if "steps" not in tree:
        yield from _labelled("a run", f"not known: {tree['corpus_error']}")
        return

    clips, steps = tree["clips"], tree["steps"]
    epochs = f"{clips['run'] / clips['epoch']:,.4g} epochs of {clips['epoch']:,}"
    yield f"a run       {_count(steps['run'], 'step')}, {_count(clips['run'], 'clip')}: {epochs}"
    yield f"            {steps['warm_up']:,} steps of warm-up to a learning rate of {tree['peak_lr']:.3g}"
    yield from _labelled("time", _time(tree))
    yield from _labelled("saves", _saves(tree))
    if tree["corpus"] is None:
        yield from _labelled("corpus", f"not there: {tree['corpus_error']}")


def _span(clip: Tree) -> str:
    frames, stride = f"{clip['frames']} frames", clip["stride"]
    apart = "" if stride == 1 else f", {stride} apart"
    if clip["fps"] is None:
        return f"{frames}{apart}, at whatever rate they are packed"
    return f"{frames} at {clip['fps']:g} a second{apart}: {clip['seconds']:,.4g} s from the first to the last"


def _time(tree: Tree) -> str:
    work = f"{tree['flops_run'] / 1e18:,.3g} EFLOP"
    time = tree["time"]
    if time is None:
        return f"{work}; --tflops T tells the hours"
    speed = f"{_short(time['step_seconds'])} s a step, {_short(time['clips_per_second'])} clips a second"
    return (
        f"{_hours(time['hours'])}, {_short(time['gpu_hours'])} GPU-hours, for {work} at {time['tflops']:g} TFLOP/s a "
        f"GPU that never waits: {speed}"
    )


def _saves(tree: Tree) -> str:
    steps, minutes = tree["saves"]["every_steps"], tree["saves"]["every_minutes"]
    when = [f"{steps:,} steps"] if steps else []
    when += [f"{minutes:g} minutes"] if minutes else []
    between = (
        f": one in {_hours(tree['time']['minutes_between_saves'] / 60)}"
        if tree["time"] and steps
        else ""
    )
    return f"every {' or '.join(when)}{', whichever come first' if len(when) > 1 else ''}{between}"


def _disk(sizes: Mapping[str, int]) -> Iterator[str]:
    yield f"the run directory grows to about {_size(sizes['total'])}"
    number = sizes["checkpoints"] // sizes["a_checkpoint"]
    parts = [f"up to {number} checkpoints of {_size(sizes['a_checkpoint'])}"]
    names = {"metrics": "metrics and TensorBoard", "pictures": "pictures", "audit": "audit log"}
    parts += [f"{words} {_size(sizes[name])}" for name, words in names.items() if sizes[name]]
    yield from _indented(", ".join(parts))


def _datasets(datasets: Sequence[Tree]) -> Iterator[str]:
    rows = [("dataset", "clips", "of draws", "each drawn", "repeated frames")]
    for dataset in datasets:
        shares = (f"{100 * dataset[share]:.1f} %" for share in ("share", "repeated_frames"))
        of_draws, repeated = shares
        rows.append(
            (
                dataset["name"],
                f"{dataset['clips']:,}",
                of_draws,
                _times(dataset["draws_of_a_clip"]),
                repeated,
            )
        )
    yield from _aligned(rows)


def _warnings(warnings: Sequence[str]) -> Iterator[str]:
    for warning in warnings:
        yield from wrap(f"! {warning}", _COLUMNS, subsequent_indent="  ", break_long_words=False)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Align a table whose first column is cut where it is too long for the page."""
    others = columns([row[1:] for row in rows], left=0)
    room = _COLUMNS - max(map(len, others)) - 2

    short_rows = []
    for name, *cells in rows:
        short = name if len(name) <= room else f"{name[: room - 3]}..."
        short_rows.append((short, *cells))
    yield from columns(short_rows)


def _labelled(label: str, text: str) -> list[str]:
    return wrap(f"{label:<12}{text}", _COLUMNS, subsequent_indent=12 * " ", break_long_words=False)


def _indented(text: str) -> list[str]:
    return wrap(text, _COLUMNS, initial_indent="  ", subsequent_indent="  ", break_long_words=False)


def _given(number: float | None, form: str) -> str:
    return "" if number is None else format(number, form)


def _gflop(flops: int | None) -> str:
    return "" if flops is None else f"{flops / 1e9:,.1f}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _times(number: float) -> str:
    return f"{number:,.0f} x" if number >= 10 else f"{number:.2g} x"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _hours(hours: float) -> str:
    if hours >= 48:
        return f"{_short(hours / 24)} days"
    if hours >= 1:
        return f"{_short(hours)} hours"
    return f"{_short(60 * hours)} minutes" if hours >= 1 / 60 else f"{_short(3600 * hours)} seconds"


def _size(num_bytes: float) -> str:
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:,.1f} {unit}"
    return f"{num_bytes / 1e3:,.0f} kB"
