"""The table: one line a node, then what failed and what to do."""

import itertools
from collections.abc import Callable, Sequence
from textwrap import fill

from surgstream.configs.columns import columns
from surgstream.trainer.host.names import in_words, spans
from surgstream.trainer.preflight.judgement.connections import speeds_by_connection
from surgstream.trainer.preflight.judgement.decoding import gpu_decodes
from surgstream.trainer.preflight.judgement.problems import (
    Problem,
    gpus_in_words,
    nodes,
    skews,
    usual,
    verdict,
)
from surgstream.trainer.preflight.judgement.report import NodeFacts, RankReport

_NODES_NAMED = 4
_COLUMNS = 120
_PROBLEMS_NAMED = 3

_Cell = Callable[[list[RankReport]], str]


def render(reports: Sequence[RankReport], problems: Sequence[Problem]) -> str:
    """Write everything down, for a terminal of 120 columns.

    Args:
        reports: The reports of all ranks, by rank.
        problems: The problems that `find_problems` found.

    Returns:
        Lines, the last one `go` or `no go: N problems`.
    """
    fatal = [problem for problem in problems if problem.fatal]
    warnings = [problem for problem in problems if not problem.fatal]
    lines = [*_head(reports), "", *_table(reports, fatal), ""]
    if speeds := speeds_by_connection(reports):
        lines += ["connections and speeds", *map(_wrapped, speeds), ""]
    for title, some in (("what failed: what to do", fatal), ("warnings", warnings)):
        if some:
            sentences = [f"{_where(problem, reports)}: {problem.sentence}" for problem in some]
            lines += [title, *map(_wrapped, sentences), ""]
    return "\n".join([*lines, verdict(problems)])


def _wrapped(sentence: str) -> str:
    return fill(
        sentence,
        _COLUMNS,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _head(reports: Sequence[RankReport]) -> list[str]:
    """The number of ranks, and what most of them have."""
    facts = [report.facts for report in reports if report.facts]
    has = [usual(map(gpus_in_words, facts))] if facts else []
    for name in dict.fromkeys(itertools.chain.from_iterable(own.versions for own in facts)):
        version = usual(own.versions.get(name, "none") for own in facts)
        has.append(f"{name} {version}")

    num_nodes = _count(len(nodes(reports)), "node")
    num_ranks = _count(len(reports), "rank")
    lines = [f"{num_nodes}, {num_ranks}: {', '.join(has)}"]

    manifests = [report.manifest for report in reports if report.manifest]
    if manifests:
        lines.append(f"corpus {usual(manifests)}")
    if any(report.decoding for report in reports):
        lines.append(f"JPEGs are decoded on the {'GPUs' if gpu_decodes(reports) else 'CPUs'}")
    return lines


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''}"


def _table(reports: Sequence[RankReport], fatal: Sequence[Problem]) -> list[str]:
    cell_makers = _cell_makers(reports)
    rows = [list(cell_makers)]
    for own in nodes(reports).values():
        ranks = {report.rank for report in own}
        failed = {problem.check for problem in fatal if ranks & set(problem.ranks)}

        cells = []
        for title, make_cell in cell_makers.items():
            cell = make_cell(own)
            cells.append(_marked(cell) if title in failed else cell)
        rows.append(cells)
    return columns(rows)


def _marked(cell: str) -> str:
    return "failed" if cell in ("-", "same", "ok") else f"{cell}!"


def _cell_makers(reports: Sequence[RankReport]) -> dict[str, _Cell]:
    off = skews(reports)
    found = [report.facts for report in reports if report.facts]
    makers: dict[str, _Cell] = {
        "node": lambda own: own[0].node[-16:],
        "ranks": lambda own: spans(report.rank for report in own),
        "GPUs": _gpus,
        "versions": _from_facts(lambda _: "same"),
        "limits": _from_facts(lambda _: "ok"),
        "clock": lambda own: _clock([off[report.rank] for report in own if report.rank in off]),
        "disk": _from_facts(lambda facts: _size(facts.run_dir_gib)),
        "cache": _from_facts(lambda facts: _size(facts.cache_gib or 0.0)),
        "shm": _from_facts(lambda facts: _size(facts.shm_gib)),
        "corpus": lambda own: "same" if all(report.manifest for report in own) else "-",
        "store": _store,
        "run_dir": lambda own: "ok" if all(report.shared for report in own) else "-",
        "network": lambda own: _slowest([report.bus_gb_per_second for report in own]),
        "step": _step,
    }

    # Columns that this recipe, or this call, has nothing to fill with.
    if not any(facts.cache_gib is not None for facts in found):
        del makers["cache"]
    if not any(report.step for report in reports):
        del makers["step"]
    return makers


def _gpus(own: Sequence[RankReport]) -> str:
    sizes: dict[str, float] = {}
    for report in own:
        if report.facts:
            sizes |= {gpu.uuid: gpu.gib for gpu in report.facts.gpus}
    return f"{len(sizes)}x{min(sizes.values()):.0f}G" if sizes else "-"


def _store(own: Sequence[RankReport]) -> str:
    speed = sum(report.mb_per_second or 0.0 for report in own)
    return f"{speed:.0f} MB/s" if speed else "-"


def _from_facts(cell: Callable[[NodeFacts], str]) -> _Cell:
    def first(own: list[RankReport]) -> str:
        return next((cell(report.facts) for report in own if report.facts), "-")

    return first


def _clock(seconds: Sequence[float]) -> str:
    if not seconds:
        return "-"
    furthest = max(seconds, key=abs)
    return f"{round(furthest, 1) + 0.0:+.1f}s"  # + 0.0: no -0.0


def _step(own: Sequence[RankReport]) -> str:
    peaks = [report.step.peak_gib for report in own if report.step]
    if len(peaks) < len(own):
        return "-"
    return f"{max(peaks):.0f}G" if max(peaks) else "ok"


def _slowest(speeds: Sequence[float | None]) -> str:
    known = [speed for speed in speeds if speed]
    return f"{_short(min(known))} GB/s" if known else "-"


def _short(speed: float) -> str:
    return f"{speed:.0f}" if speed >= 10 else f"{speed:.2g}"


def _size(gib: float) -> str:
    """GiB as `df -h` writes them."""
    if gib >= 1000:
        return f"{gib / 1024:.1f}T"
    return f"{gib:.1f}G" if gib < 10 else f"{gib:.0f}G"


def one_line(reports: Sequence[RankReport], problems: Sequence[Problem]) -> str:
    """The verdict on one line: `go`, or `no go` with the first problems that forbid a run."""
    fatal = [problem for problem in problems if problem.fatal]
    parts = [verdict(problems)]
    for problem in fatal[:_PROBLEMS_NAMED]:
        parts.append(f"{_where(problem, reports)}: {problem.sentence}")
    if len(fatal) > _PROBLEMS_NAMED:
        parts.append(f"and {len(fatal) - _PROBLEMS_NAMED} more")
    return "; ".join(parts)


def _where(problem: Problem, reports: Sequence[RankReport]) -> str:
    """The column and the ranks of a problem, such as `clock, rank 3 on node2`."""
    where = f"{problem.check}, {in_words(problem.ranks)}"
    names = dict.fromkeys(report.node for report in reports if report.rank in problem.ranks)
    if not names:
        return where
    if len(names) <= _NODES_NAMED:
        return f"{where} on {', '.join(names)}"
    return f"{where} on {len(names)} nodes"
