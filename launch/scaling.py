"""How reading scales with nodes: what `surgstream loader` measured on 1, 2, 4, ... of them, as a table and a plot."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surgstream.configs.errors import ConfigError
from surgstream.configs.files import read_text

_FORMAT = 1
_WIDTH, _HEIGHT = 760, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 636, 84, 400

STYLE = """
    .page { fill: #ffffff; }
    text { font: 13px Helvetica, Arial, sans-serif; fill: #57606a; }
    .title { font-size: 16px; font-weight: bold; fill: #1f2328; }
    .value { font-weight: bold; fill: #0969da; stroke: #ffffff; stroke-width: 4px; paint-order: stroke; }
    .grid { stroke: #d8dee4; }
    .ideal { stroke: #8c959f; stroke-dasharray: 5 4; stroke-width: 1.5; fill: none; }
    .measured { stroke: #0969da; stroke-width: 2.5; fill: none; }
    .dot { fill: #0969da; }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117; }
      text { fill: #9198a1; }
      .title { fill: #f0f6fc; }
      .value { fill: #58a6ff; stroke: #0d1117; }
      .grid { stroke: #2b3138; }
      .ideal { stroke: #6e7681; }
      .measured { stroke: #58a6ff; }
      .dot { fill: #58a6ff; }
    }"""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One measurement.

    Attributes:
        path: The file.
        time: When, in unix seconds.
        nodes: Nodes.
        ranks: Ranks on all of them.
        clips_per_second: Over all ranks.
        gigabytes_per_second: Read from the store, 10^9 bytes.
        requests_per_second: GETs.
        retries: Reads tried again in the window.
        node_clips_per_second: Each node's own rate.
        work: What was measured: with decoding or without, and of which corpus.
    """

    path: Path
    time: float
    nodes: int
    ranks: int
    clips_per_second: float
    gigabytes_per_second: float
    requests_per_second: float
    retries: int
    node_clips_per_second: tuple[float, ...]
    work: str


def read_results(folder: Path) -> list[Result]:
    """Read what `surgstream loader --out FOLDER/.../loader.json` left.

    Args:
        folder: Where every `loader.json` at any depth is read; of several from as many nodes the newest counts.

    Returns:
        One result for each number of nodes, growing.

    Raises:
        ConfigError: There are none, a file is something else, or two of them measured different things.
    """
    newest: dict[int, Result] = {}
    for path in sorted(folder.rglob("loader.json")):
        found = _read(path)
        if found.nodes not in newest or newest[found.nodes].time < found.time:
            newest[found.nodes] = found

    if not newest:
        raise ConfigError(
            f"{folder}: expected files loader.json, which `surgstream loader --out` writes, got none"
        )
    results = [newest[nodes] for nodes in sorted(newest)]

    # Rates compare only where the same was measured, of the same corpus
    for result in results[1:]:
        if result.work != results[0].work:
            raise ConfigError(
                f"{result.path}: expected {results[0].work}, as {results[0].path}, got {result.work}; "
                "keep different measurements in different folders"
            )

    return results


def table(results: Sequence[Result]) -> str:
    """Lay results out for a terminal; efficiency is against the fewest nodes."""
    rows: list[tuple[str, ...]] = [
        (
            "nodes",
            "ranks",
            "clips/s",
            "GB/s",
            "min",
            "median",
            "max",
            "GETs/s",
            "retries",
            "efficiency",
        )
    ]

    for result in results:
        spread = (
            f"{pick(result.node_clips_per_second):,.0f}" for pick in (min, statistics.median, max)
        )
        rows.append(
            (
                f"{result.nodes}", f"{result.ranks}", f"{result.clips_per_second:,.0f}",
                f"{result.gigabytes_per_second:.2f}", *spread, f"{result.requests_per_second:,.0f}",
                f"{result.retries:,}", f"{100 * efficiency(result, results[0]):.0f} %",
            )
        )  # fmt: skip

    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    # The heading stands over min, median and max, columns 4 to 6; two blanks part any two columns
    over, across = sum(widths[:4]) + 4 * 2, sum(widths[4:7]) + 2 * 2
    return "\n".join([f"{'':{over}}{'clips/s of a node':^{across}}".rstrip(), *lines])


def efficiency(result: Result, fewest: Result) -> float:
    """Clips a second and node, as a share of those on the fewest nodes."""
    base = fewest.clips_per_second / fewest.nodes
    return result.clips_per_second / result.nodes / base if base else 0.0


def plot(results: Sequence[Result]) -> str:
    """Draw clips a second over nodes beside the ideal, both axes logarithmic, as an SVG file's text."""
    first, last = results[0], results[-1]
    rates = [result.clips_per_second for result in results]
    ideal = [first.clips_per_second * result.nodes / first.nodes for result in results]
    # A logarithmic axis has no 0: such rates lie on its lowest tick
    ticks = axis_ticks([rate for rate in (*rates, *ideal) if rate > 1e-3] or [1.0])

    across = Axis(first.nodes / 1.25, last.nodes * 1.25, _LEFT, _RIGHT)
    up = Axis(ticks[0], ticks[-1], _BOTTOM, _TOP)
    xs, ys = (
        [across(result.nodes) for result in results],
        [up(max(ticks[0], rate)) for rate in rates],
    )
    ends = [up(max(ticks[0], rate)) for rate in ideal]

    against = f"{first.nodes} node{'' if first.nodes == 1 else 's'}"
    marks = [
        '<rect class="page" width="100%" height="100%"/>',
        f'<text class="title" x="{_LEFT}" y="34">Clips a second over nodes</text>',
        f'<text x="{_LEFT}" y="55">{first.work}; in per cent: efficiency against {against}</text>',
        f'<text x="{(_LEFT + _RIGHT) / 2}" y="{_HEIGHT - 14}" text-anchor="middle">nodes</text>',
    ]

    for tick in ticks:
        marks.append(f'<path class="grid" d="M{_LEFT} {up(tick):.1f}H{_RIGHT}"/>')
        marks.append(
            f'<text x="{_LEFT - 10}" y="{up(tick) + 4:.1f}" text-anchor="end">{tick:,g}</text>'
        )
    for path, heights in (("ideal", ends), ("measured", ys)):
        places = "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(xs, heights, strict=True))
        marks.append(f'<path class="{path}" d="M{places}"/>')

    for result, x, y, end in zip(results, xs, ys, ends, strict=True):
        share = "" if result is first else f", {100 * efficiency(result, first):.0f} %"
        label = f"{result.clips_per_second:,.0f}{share}"
        # On the side away from the ideal line; y grows downwards
        above = f'x="{x - 8:.1f}" y="{y - 10:.1f}" text-anchor="end"'
        below = f'x="{x + 8:.1f}" y="{y + 20:.1f}"'
        marks.append(
            f'<text x="{x:.1f}" y="{_BOTTOM + 24}" text-anchor="middle">{result.nodes}</text>'
        )
        marks.append(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>')
        marks.append(f'<text class="value" {above if y < end else below}>{label}</text>')
    if last is not first:
        marks.append(f'<text x="{xs[-1] + 10:.1f}" y="{ends[-1] + 3:.1f}">ideal</text>')

    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
    return "\n".join(
        [svg, f"  <style>{STYLE}\n  </style>", *(f"  {mark}" for mark in marks), "</svg>\n"]
    )


def _read(path: Path) -> Result:
    try:
        tree: Mapping[str, Any] = json.loads(read_text(path))
        if tree["format"] != _FORMAT:
            raise ConfigError(
                f"{path}: expected format {_FORMAT}, got {tree['format']!r:.20}; measure again"
            )
        total, decoded, corpus = tree["total"], tree["decode"], tree["corpus"]["sha256"][:12]

        result = Result(
            path=path,
            time=_number(tree["time"]),
            nodes=int(_number(tree["num_nodes"])),
            ranks=int(_number(tree["world_size"])),
            clips_per_second=_number(total["clips_per_second"]),
            gigabytes_per_second=_number(total["gigabytes_per_second"]),
            requests_per_second=_number(total["requests_per_second"]),
            retries=int(sum(map(_number, total["retries"].values()))),
            node_clips_per_second=tuple(
                _number(node["clips_per_second"]) for node in tree["nodes"]
            ),
            # As a number, so that nothing but hexadecimal digits gets into the text
            work=f"clips {'read and decoded' if decoded else 'read'}, corpus {int(corpus, 16):012x}",
        )

        if result.nodes != len(result.node_clips_per_second) or result.nodes < 1:
            raise ValueError("nodes")
    except OSError as error:
        raise ConfigError(f"{path}: expected a readable file: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise ConfigError(
            f"{path}: expected what `surgstream loader --out` writes; move other files away"
        ) from None

    return result


def _number(value: Any) -> float:
    if not 0 <= value < 1e15:
        raise ValueError(value)
    return float(value)


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis: numbers from `low` to `high` lie from `start` to `stop` on the page."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Where a number above 0 lies."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.stop - self.start)


def axis_ticks(values: Sequence[float]) -> list[float]:
    """1, 2 and 5 times powers of ten around positive values; powers alone where those would be too many."""
    powers = range(math.floor(math.log10(min(values))) - 1, math.ceil(math.log10(max(values))) + 2)
    for factors in ((1, 2, 5), (1,)):
        ticks = [factor * 10.0**power for power in powers for factor in factors]
        first = max(i for i, tick in enumerate(ticks) if tick < min(values))
        stop = min(i for i, tick in enumerate(ticks) if tick > max(values)) + 1
        if stop - first <= 9:
            break
    return ticks[first:stop]
