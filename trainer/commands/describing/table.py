"""The page that `surgstream describe` prints, in 80 columns."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any

from surgstream.configs.columns import columns

_COLUMNS = 80

Tree = Mapping[str, Any]


def table(tree: Tree) -> str:
    """Lay out the tree that `trainer.commands.describe.describe` returns."""
    if "parameters" in tree:
        sections: list[Iterable[str]] = [_model(tree), _memory(tree), _run(tree)]
    else:
        sections = [[tree["objective"], *_indented(tree["model_error"])], _run(tree)]
    if "disk_bytes" in tree:
        sections.append(_disk(tree["disk_bytes"]))
    if "effective_time" in tree:
        sections.append(_effective_time(tree["effective_time"]))
    if "datasets" in tree:
        sections.append(_datasets(tree["datasets"]))
    if tree.get("warnings"):
        sections.append(_warnings(tree["warnings"]))
    return "\n\n".join("\n".join(section) for section in sections)


def _model(tree: Tree) -> Iterator[str]:
    parameters = tree["parameters"]
    flops = tree["flops_per_clip"]
    rows = [(tree["objective"], "parameters", "GFLOP a clip")]
    for part in dict.fromkeys([*flops, *parameters]):
        if part not in ("total", "trainable"):
            count = _given(parameters.get(part), ",")
            rows.append((part, count, _gflop(flops.get(part))))

    rows.append(("trained", f"{parameters['trainable']:,}", ""))
    rows.append(("together", "", _gflop(flops["total"])))
    yield from _aligned(rows)


def _memory(tree: Tree) -> Iterator[str]:
    sizes = tree["memory_gib"]
    parts = []
    for name, size in sizes.items():
        # Less would be shown as 0.0.
        if name != "total" and size >= 0.05:
            parts.append(f"{name} {size:.1f}")

    num_gpus = tree["batch"]["world_size"]
    gpus = "a GPU" if num_gpus == 1 else f"each of {num_gpus} GPUs"
    yield f"{gpus} holds about {sizes['total']:.1f} GiB, besides what frameworks take"
    yield from _indented(", ".join(parts))


def _run(tree: Tree) -> Iterator[str]:
    batch = tree["batch"]
    ranks = batch["world_size"]
    accumulated = batch["grad_accum_steps"]
    spread = f"{ranks} x {batch['micro']} at once x {accumulated} accumulated"
    yield f"a step      {_count(batch['global'], 'clip')}: {spread}"

    if "tokens" in tree:
        tokens = tree["tokens"]
        seen = f"the encoder sees {tokens['visible']:,}, and {tokens['masked']:,} are predicted"
        yield from _labelled("a clip", f"{tokens['clip']:,} tokens: {seen}")
        yield f"            {_span(tree['clip'])}"
    else:
        yield from _labelled("a clip", _span(tree["clip"]))

    # Without a corpus and without `clips_per_epoch` nothing is known of the run.
    if "steps" not in tree:
        yield from _labelled("a run", f"not known: {tree['corpus_error']}")
        return

    clips = tree["clips"]
    steps = tree["steps"]
    num_epochs = clips["run"] / clips["epoch"]
    epochs = f"{num_epochs:,.4g} epochs of {clips['epoch']:,}"
    yield f"a run       {_count(steps['run'], 'step')}, {_count(clips['run'], 'clip')}: {epochs}"

    warm_up = f"{steps['warm_up']:,} steps of warm-up"
    yield f"            {warm_up} to a learning rate of {tree['peak_lr']:.3g}"
    if "flops_run" in tree:
        yield from _labelled("time", _time(tree))
    yield from _labelled("saves", _saves(tree))
    if "buffers" in tree:
        sizes = tree["buffers"]
        held = (
            f"open chunks {_size(sizes['open_chunks'])} a rank, of {_size(sizes['buffer_bytes'])}"
        )
        yield from _labelled("buffers", held)
    if tree["corpus"] is None:
        yield from _labelled("corpus", f"cannot be read: {tree['corpus_error']}")


def _span(clip: Tree) -> str:
    frames = f"{clip['frames']} frames"
    stride = clip["stride"]
    apart = "" if stride == 1 else f", {stride} apart"
    if clip["fps"] is None:
        return f"{frames}{apart}, at whatever rate they are packed"
    length = f"{clip['seconds']:,.4g} s from the first to the last"
    return f"{frames} at {clip['fps']:g} a second{apart}: {length}"


def _time(tree: Tree) -> str:
    work = f"{tree['flops_run'] / 1e18:,.3g} EFLOP"
    time = tree["time"]
    if time is None:
        return f"{work}; --tflops T tells the hours"
    hours = f"{_hours(time['hours'])}, {_short(time['gpu_hours'])} GPU-hours"
    assumed = f"{work} at {time['tflops']:g} TFLOP/s a GPU that never waits"
    step_seconds = _short(time["step_seconds"])
    clips_per_second = _short(time["clips_per_second"])
    return f"{hours}, for {assumed}: {step_seconds} s a step, {clips_per_second} clips a second"


def _saves(tree: Tree) -> str:
    steps = tree["saves"]["every_steps"]
    minutes = tree["saves"]["every_minutes"]
    when = []
    if steps:
        when.append(f"{steps:,} steps")
    if minutes:
        when.append(f"{minutes:g} minutes")

    text = f"every {' or '.join(when)}"
    if len(when) > 1:
        text += ", whichever come first"
    if tree["time"] and steps:
        hours_between = tree["time"]["minutes_between_saves"] / 60
        text += f": one in {_hours(hours_between)}"
    return text


def _effective_time(found: Tree) -> Iterator[str]:
    restart = found["start_seconds"] + found["restore_seconds"]
    failure = f"a failure every {_hours(found['mttf_hours'])} that costs {restart:g} s to restart"
    best = f"one in {_hours(found['best_minutes_between_saves'] / 60)}"
    saves = f"{best} of {found['save_seconds']:g} s; {failure}"
    text = f"{_percent(found['best_ratio'])} of the time is effective with the best saves, {saves}"
    yield from wrap(text, _COLUMNS)

    if found["ratio"] is None:
        yield from _indented(
            "with the recipe's: not known without --tflops T and a corpus or clips_per_epoch"
        )
    else:
        apart = _hours(found["minutes_between_saves"] / 60)
        yield from _indented(f"with the recipe's, one in {apart}: {_percent(found['ratio'])}")


def _disk(sizes: Mapping[str, int]) -> Iterator[str]:
    yield f"the run directory grows to about {_size(sizes['total'])}"
    number = sizes["checkpoints"] // sizes["a_checkpoint"]
    parts = [f"up to {number} checkpoints of {_size(sizes['a_checkpoint'])}"]
    names = {"metrics": "metrics and TensorBoard", "pictures": "pictures", "audit": "audit log"}
    for name, words in names.items():
        if sizes[name]:
            parts.append(f"{words} {_size(sizes[name])}")
    yield from _indented(", ".join(parts))


def _datasets(datasets: Sequence[Tree]) -> Iterator[str]:
    rows = [("dataset", "clips", "of draws", "each drawn", "repeated frames")]
    for dataset in datasets:
        clips = f"{dataset['clips']:,}"
        of_draws = _percent(dataset["share"])
        drawn = _times(dataset["draws_of_a_clip"])
        repeated = _percent(dataset["repeated_frames"])
        rows.append((dataset["name"], clips, of_draws, drawn, repeated))
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


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _times(number: float) -> str:
    return f"{number:,.0f} x" if number >= 10 else f"{number:.2g} x"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _hours(hours: float) -> str:
    if hours >= 48:
        return f"{_short(hours / 24)} days"
    if hours >= 1:
        return f"{_short(hours)} hours"
    if hours >= 1 / 60:
        return f"{_short(60 * hours)} minutes"
    return f"{_short(3600 * hours)} seconds"


def _size(num_bytes: float) -> str:
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:,.1f} {unit}"
    return f"{num_bytes / 1e3:,.0f} kB"
