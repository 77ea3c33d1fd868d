"""The table of a result in Markdown."""

from collections.abc import Iterator

from surgstream.configs.columns import markdown
from surgstream.trainer.evaluation.report.numbers import (
    NOTHING,
    counted,
    facts,
    interval,
    shown,
    with_interval,
)
from surgstream.trainer.evaluation.report.result import Result
from surgstream.trainer.evaluation.tasks.config import Published

_MAX_UNDEFINED = 8
"""Sentences in a line about what is left out; `result.json` has all."""


_MAX_SIGHTINGS = 8
"""Sentences in a line about how videos were found; `result.json` has all."""


def draw_table(result: Result) -> str:
    """Write a result as Markdown: models and yardsticks with intervals, comparisons, published values, and notes."""
    parts = [f"# {result.title}\n", f"{facts(result)}. In brackets 95 % intervals.\n"]
    parts += [f"> {warning}\n" for warning in result.warnings]
    parts.append(markdown(list(_scores(result))) + "\n")

    if result.comparisons:
        parts.append("## Compared on the same videos\n")
        parts.append(markdown(list(_comparisons(result)), left=4) + "\n")
    if result.published:
        parts.append("## Published\n")
        parts.append(markdown(list(_published(result)), left=5) + "\n")
        parts += [f"- {letter}: {text}" for letter, text in result.caveats.items()]
        parts.append("")
    if notes := [*result.notes, *told(result), *_undefined(result)]:
        parts.append("## Notes\n")
        parts += [f"- {note}" for note in notes]
    return "\n".join(parts).rstrip() + "\n"


def heading(result: Result, metric: str) -> str:
    """A metric's id, its unit, and what is better where that is less."""
    about = result.metrics[metric]
    unit = ", %" if about["percent"] else ""
    return f"{metric}{unit}" + ("" if about["higher_is_better"] else ", less is better")


def main_first(result: Result) -> list[str]:
    """The metrics' ids, that of the main one first."""
    return sorted(result.metrics, key=lambda metric: metric != result.main)


def _scores(result: Result) -> Iterator[tuple[str, ...]]:
    """A line a metric, a column a model or yardstick."""
    names = []
    for row in result.rows:
        marks = "".join(f" ({mark})" for mark in row.marks)
        names.append(f"*{row.name}*" if row.kind == "yardstick" else f"{row.name}{marks}")
    yield ("", *names)
    if any(row.leaks for row in result.rows):
        yield ("leaks", *(row.leaks.says if row.leaks else NOTHING for row in result.rows))

    for metric in main_first(result):
        name = heading(result, metric)
        about = result.metrics[metric]
        values = [row.values.get(metric) for row in result.rows]
        cells = [with_interval(value, about) if value else NOTHING for value in values]
        yield (f"**{name}**" if metric == result.main else name, *cells)


def _comparisons(result: Result) -> Iterator[tuple[str, ...]]:
    yield (
        "model − other",
        "metric",
        "verdict",
        "signs and test",
        "difference",
        "95 % interval",
        "p (Holm)",
    )
    for each in result.comparisons:
        if each.metric != result.main:
            continue  # result.json and the page have these
        about = result.metrics[each.metric]
        p = f"{each.p:.3g}" if each.p == each.p else NOTHING
        difference = shown(each.difference, about)
        who = f"{each.model} − {each.other}"
        ends = interval(each.low, each.high, about) or NOTHING
        yield (who, each.metric, each.says, each.sentence, difference, ends, p)


def published_values(row: Published, result: Result) -> str:
    """The values of a published row in words, those of metrics that we compute first, as `edit 78.1, accuracy 91.5`."""
    ours = [metric for metric in main_first(result) if metric in row.values]
    others = sorted({*row.values} - {*ours})
    return ", ".join(f"{metric} {row.values[metric]:g}" for metric in [*ours, *others])


def _published(result: Result) -> Iterator[tuple[str, ...]]:
    yield ("model", "values as printed there", "protocol", "source", "caveats")
    for row in result.published:
        values = published_values(row, result)
        yield (row.model, values, row.protocol, row.source, " ".join(row.caveats))


def told(result: Result) -> Iterator[str]:
    """Which videos corpora pack for pretraining, what of predictions does not count, and what models have seen."""
    for preset, ids in result.packed_by.items():
        yield (
            f"the corpus {preset} of configs/pack packs {counted(len(ids), 'video')} of this task for "
            f"pretraining: {', '.join(ids)}"
        )
    for row in result.models:
        yield from (f"{row.name}: {sentence}" for sentence in row.told)
        if row.leaks and row.leaks.how:
            num_more = len(row.leaks.how) - _MAX_SIGHTINGS
            more = f"; and {num_more} more in result.json" if num_more > 0 else ""
            how = "; ".join(row.leaks.how[:_MAX_SIGHTINGS])
            yield f"{row.name}: {row.leaks.says}: {how}{more}"


def _undefined(result: Result) -> Iterator[str]:
    """What had to be left out of means, in one line for all metrics that leave out the same."""
    metrics_of: dict[tuple[str, ...], list[str]] = {}
    for metric in main_first(result):
        for left_out, who in _left_out(result, metric).items():
            metrics_of.setdefault(left_out, []).append(f"{metric}{who}")

    for left_out, metrics in metrics_of.items():
        num_more = len(left_out) - _MAX_UNDEFINED
        more = f"; and {num_more} more in result.json" if num_more > 0 else ""
        yield f"{', '.join(metrics)}: {'; '.join(left_out[:_MAX_UNDEFINED])}{more}"


def _left_out(result: Result, metric: str) -> dict[tuple[str, ...], str]:
    """What models leave out of a metric, and in brackets which models, where others leave out something else."""
    values = {row.name: row.values[metric] for row in result.models if metric in row.values}
    names: dict[tuple[str, ...], list[str]] = {}
    for name, value in values.items():
        if value.undefined:
            names.setdefault(value.undefined, []).append(name)

    return {
        left_out: "" if len(who) == len(values) else f" ({', '.join(who)})"
        for left_out, who in names.items()
    }
