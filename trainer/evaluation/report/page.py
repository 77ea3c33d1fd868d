"""The page of a result: one HTML file, which needs no other."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from surgstream.trainer.evaluation.metrics.confusion import confusions
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo
from surgstream.trainer.evaluation.report.confusion import draw_confusion
from surgstream.trainer.evaluation.report.document import whole_page
from surgstream.trainer.evaluation.report.numbers import NOTHING, counted, facts, interval, shown
from surgstream.trainer.evaluation.report.reliability import draw_reliabilities
from surgstream.trainer.evaluation.report.result import Compared, Result, Row
from surgstream.trainer.evaluation.report.ribbons import choose_cases, draw_case, legend
from surgstream.trainer.evaluation.report.table import heading, main_first, published_values, told

_FIRST_METRICS = 8

_LEAKS = "whether a model was trained on some of these videos"

_MAX_SIGHTINGS = 20

_MAX_VIDEOS = 200
"""Videos in the table of videos; `result.json` has all."""


def draw_page(
    result: Result,
    models: Mapping[str, Sequence[ScoredVideo]],
    space: LabelSpace,
    pictures: str = "",
) -> str:
    """Write the page.

    Args:
        result: The result.
        models: The videos of each model, the same ones in the same order; of several seeds those of the first.
        space: What labels there are.
        pictures: HTML of predicted pictures; empty where there are none.

    Returns:
        The content of an HTML file.
    """
    head = f"<h1>{escape(result.title)}</h1>\n<p>{escape(facts(result))}.</p>\n"
    return whole_page(result.title, head + draw_sections(result, models, space, pictures))


def draw_sections(
    result: Result,
    models: Mapping[str, Sequence[ScoredVideo]],
    space: LabelSpace,
    pictures: str = "",
) -> str:
    """The sections of a page, for one that has others, too; see `draw_page`."""
    sections = [
        _scores(result),
        _comparisons(result),
        _published(result),
        _ribbons(models, space),
        pictures,
        _classes(result),
        _confusions(models, space),
        draw_reliabilities(models, space),
        _videos(result),
        _notes(result),
    ]
    warnings = "".join(f'<p class="warning">{escape(text)}</p>\n' for text in result.warnings)
    return warnings + "".join(sections)


def _table(rows: Sequence[str]) -> str:
    return f'<div class="scroll"><table>\n{"".join(rows)}</table></div>\n'


def _cell(text: str, kind: str = "", tag: str = "td") -> str:
    return f'<{tag} class="{kind}">{text}</{tag}>' if kind else f"<{tag}>{text}</{tag}>"


def _small(text: str) -> str:
    """A line below a number; none where there is nothing to say."""
    return f"<small>{text}</small>" if text else ""


def _scores(result: Result) -> str:
    """A line a metric, a column a model or yardstick; what comes after the first few is folded away."""
    metrics = main_first(result)
    first = _table(_score_lines(metrics[:_FIRST_METRICS], result))
    more = ""
    if others := metrics[_FIRST_METRICS:]:
        lines = _score_lines(others, result)
        more = f"<details><summary>{counted(len(others), 'more metric')}</summary>{_table(lines)}</details>\n"
    said = (
        "In brackets 95 % intervals. Columns in italics are yardsticks, which no encoder made. Hover "
        "over a value for what it is the mean of."
    )
    if any(math.isfinite(value.spread) for row in result.rows for value in row.values.values()):
        said += (
            " Of several seeds numbers are the mean, and pictures and confusion those of the first."
        )
    return f"<h2>Scores</h2>\n{first}{more}<p class=soft>{said}</p>\n"


def _score_lines(metrics: Sequence[str], result: Result) -> list[str]:
    heads = []
    for row in result.rows:
        marks = "".join(f' <span class="mark {mark}">{escape(mark)}</span>' for mark in row.marks)
        heads.append(_cell(f"{escape(row.name)}{marks}", row.kind, "th"))

    lines = [f"<tr><th></th>{''.join(heads)}</tr>\n"]
    if any(row.leaks for row in result.rows):
        marks = "".join(map(_leak_mark, result.rows))
        lines.append(f'<tr><td title="{_LEAKS}">leaks</td>{marks}</tr>\n')
    for metric in metrics:
        cells = [_value(row, metric, result) for row in result.rows]
        kind = ' class="main"' if metric == result.main else ""
        title = escape(result.metrics[metric]["title"])
        name = f'<td title="{title}">{escape(heading(result, metric))}</td>'
        lines.append(f"<tr{kind}>{name}{''.join(cells)}</tr>\n")
    return lines


def _leak_mark(row: Row) -> str:
    """A cell that says which videos a model was trained on, and to who hovers over it how that was found."""
    if row.leaks is None:
        return _cell(NOTHING, row.kind)
    how = escape("; ".join(row.leaks.how[:_MAX_SIGHTINGS]))
    says = escape(row.leaks.says)
    return f'<td class="{row.kind}" title="{how}"><span class="mark {row.leaks.mark}">{says}</span></td>'


def _value(row: Row, metric: str, result: Result) -> str:
    value = row.values.get(metric)
    if value is None:
        return _cell(NOTHING, row.kind)

    about = result.metrics[metric]
    text = shown(value.value, about) + _small(interval(value.low, value.high, about))
    if value.spread == value.spread:
        text += _small(f"seeds ± {shown(value.spread, about)} sd")
    said = "; ".join([f"mean of {value.averaged}", *value.undefined, value.interval])
    return f'<td class="{row.kind}" title="{escape(said)}">{text}</td>'


def _comparisons(result: Result) -> str:
    """The comparisons by the main metric, and those by others folded away."""
    main = [each for each in result.comparisons if each.metric == result.main]
    others = [each for each in result.comparisons if each.metric != result.main]
    if not main and not others:
        return ""

    more = ""
    if others:
        lines = _compared_lines(others, result)
        more = f"<details><summary>by other metrics</summary>{_table(lines)}</details>\n"
    said = (
        "Each difference has the interval of paired draws of videos. The p of Wilcoxon's signed-rank "
        "test, two-sided, is told before Holm's correction for several models, the verdict after it."
    )
    shown_first = _table(_compared_lines(main, result)) if main else ""
    return f"<h2>Compared on the same videos</h2>\n{shown_first}{more}<p class=soft>{said}</p>\n"


def _compared_lines(comparisons: Sequence[Compared], result: Result) -> list[str]:
    lines = [
        "<tr><th>model − other</th><th>metric</th><th>difference</th><th class=left>verdict</th></tr>\n"
    ]
    for each in comparisons:
        about = result.metrics[each.metric]
        ends = interval(each.low, each.high, about)
        lines.append(
            f"<tr><td>{escape(each.model)} − {escape(each.other)}</td><td>{escape(each.metric)}</td>"
            f"<td>{shown(each.difference, about)}{_small(ends)}</td>"
            f'<td class="left">{escape(each.says)}<br><span class="soft">{escape(each.sentence)}</span>'
            "</td></tr>\n"
        )
    return lines


def _published(result: Result) -> str:
    if not result.published:
        return ""
    lines = [
        "<tr><th>model</th><th class=left>values as printed there</th>"
        "<th class=left>protocol, source</th></tr>\n"
    ]
    for row in result.published:
        letters = f" <sup>{escape(' '.join(row.caveats))}</sup>" if row.caveats else ""
        lines.append(
            f'<tr class="published"><td>{escape(row.model)}{letters}</td>'
            f'<td class="left">{escape(published_values(row, result))}</td>'
            f'<td class="left">{escape(row.protocol)}<br>{escape(row.source)}</td></tr>\n'
        )
    caveats = "".join(
        f"<li>{escape(letter)}: {escape(text)}</li>\n" for letter, text in result.caveats.items()
    )
    return f"<h2>Published</h2>\n{_table(lines)}<ul class=soft>{caveats}</ul>\n"


def _ribbons(models: Mapping[str, Sequence[ScoredVideo]], space: LabelSpace) -> str:
    first = next(iter(models.values()), [])
    if space.kind != "class" or not any(video.num_rows > 1 for video in first):
        return ""
    name = next(iter(models))
    said = f"Cases by the accuracy of {name}: the worst, the best, and some between."
    cases = "".join(draw_case(case, space.classes) for case in choose_cases(models))
    return f"<h2>Ribbons</h2>\n<p class=soft>{escape(said)}</p>\n{legend(space.classes)}{cases}"


def _classes(result: Result) -> str:
    """Of the main metric the value of each class, a column a model."""
    about = result.metrics[result.main]
    models = {
        row.name: row.values[result.main].per_class
        for row in result.models
        if result.main in row.values
    }
    names = next(iter(models.values()), {})
    if not names:
        return ""

    heads = "".join(f"<th>{escape(model)}</th>" for model in models)
    lines = [f"<tr><th></th>{heads}</tr>\n"]
    for name in names:
        cells = "".join(_bar(values.get(name, math.nan), about) for values in models.values())
        lines.append(f"<tr><td>{escape(name.replace('_', ' '))}</td>{cells}</tr>\n")
    return f"<h2>{escape(about['title'])}, by class</h2>\n{_table(lines)}"


def _bar(value: float, about: Mapping[str, Any]) -> str:
    """A cell with a value, and a bar below it where it is a share."""
    share = max(0.0, min(value, 1.0)) if about["percent"] and value == value else 0.0
    bar = f'<span class="bar"><i style="width:{100 * share:.1f}%"></i></span>'
    return f"<td>{shown(value, about)}{bar}</td>"


def _confusions(models: Mapping[str, Sequence[ScoredVideo]], space: LabelSpace) -> str:
    if space.kind != "class":
        return ""
    parts: list[str] = []
    for name, videos in models.items():
        matrix = draw_confusion(confusions(videos, space).sum(0), space.classes)
        state = "" if parts else " open"
        parts.append(
            f"<details{state}><summary>{escape(name)}</summary>"
            f'<div class="scroll">{matrix}</div></details>\n'
        )
    said = "Down: what is true. Across: what was predicted, in per cent of the true class."
    return f"<h2>Confusion</h2>\n<p class=soft>{said}</p>\n{''.join(parts)}"


def _videos(result: Result) -> str:
    models = [row for row in result.models if row.per_video]
    if not models:
        return ""
    metrics = [
        metric
        for metric in result.metrics
        if any(metric in values for row in models for values in row.per_video.values())
    ]
    heads = "".join(f"<th>{escape(row.name)}</th>" * len(metrics) for row in models)
    names = "".join(f"<th>{escape(metric)}</th>" for metric in metrics) * len(models)
    lines = [f"<tr><th>video</th>{heads}</tr>\n<tr><th></th>{names}</tr>\n"]
    videos = sorted({video for row in models for video in row.per_video})
    for video in videos[:_MAX_VIDEOS]:
        cells = "".join(_of_video(row, video, metrics, result) for row in models)
        lines.append(f"<tr><td>{escape(video)}</td>{cells}</tr>\n")

    more = len(videos) - _MAX_VIDEOS
    said = (
        f"<p class=soft>And {counted(more, 'video')} more in result.json.</p>" if more > 0 else ""
    )
    return (
        f"<h2>Videos</h2>\n<details><summary>{counted(len(videos), 'video')}, each by itself</summary>"
        f"{_table(lines)}{said}</details>\n"
    )


def _of_video(row: Row, video: str, metrics: Sequence[str], result: Result) -> str:
    values = row.per_video.get(video, {})
    return "".join(
        _cell(shown(values[metric], result.metrics[metric]) if metric in values else NOTHING)
        for metric in metrics
    )


def _notes(result: Result) -> str:
    lines = "".join(f"<li>{escape(text)}</li>\n" for text in _sentences(result))
    return f"<h2>Notes</h2>\n<ul>{lines}</ul>\n"


def _sentences(result: Result) -> Iterator[str]:
    yield from result.notes
    yield from told(result)
    for row in result.models:
        for file, digest in row.files.items():
            yield f"{row.name}: {file}, SHA-256 {digest}"
    yield f"labels: {result.labels}, SHA-256 {result.labels_sha256}"
    yield from (f"{name} {version}" for name, version in result.versions.items())
