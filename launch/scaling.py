"""Reading on more and more nodes: results of `surgstream loader` on 1, 2, 4, ... of them, as a table and a plot."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surgstream.configs.columns import columns
from surgstream.configs.errors import ConfigError
from surgstream.configs.files import read_text
from surgstream.trainer.runs.plot import Line, Panel, draw

_FORMAT = 1
_HEADING = (
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
_PAGE_WIDTH = 760
_PANEL_HEIGHT = 368


@dataclass(frozen=True, kw_only=True)
class Result:
    """One measurement.

    Attributes:
        path: The file.
        time: The time of the measurement, in unix seconds.
        nodes: Number of nodes.
        ranks: Ranks on all of them.
        clips_per_second: The rate over all ranks.
        gigabytes_per_second: Bytes read from the store, in 10^9 bytes.
        requests_per_second: GETs sent to the store.
        retries: Reads tried again in the window.
        node_clips_per_second: Each node's own rate.
        work: The work that was measured, with decoding or without, and the corpus.
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
    """Read the results of `surgstream loader --out FOLDER/.../loader.json`.

    Args:
        folder: A folder with files `loader.json` at any depth; of several from the same number of nodes the newest
            counts.

    Returns:
        One result for each number of nodes, in ascending order.

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
            f"{folder}: expected files loader.json, which `surgstream loader --out` writes, got "
            "none"
        )
    results = [newest[nodes] for nodes in sorted(newest)]

    # Rates compare only where the same was measured, of the same corpus
    for result in results[1:]:
        if result.work != results[0].work:
            raise ConfigError(
                f"{result.path}: expected {results[0].work}, as {results[0].path}, got "
                f"{result.work}; keep different measurements in different folders"
            )

    return results


def table(results: Sequence[Result]) -> str:
    """Lay results out for a terminal; efficiency is against the fewest nodes."""
    rows: list[tuple[str, ...]] = [_HEADING]
    for result in results:
        rates = result.node_clips_per_second
        row = (
            f"{result.nodes}",
            f"{result.ranks}",
            f"{result.clips_per_second:,.0f}",
            f"{result.gigabytes_per_second:.2f}",
            f"{min(rates):,.0f}",
            f"{statistics.median(rates):,.0f}",
            f"{max(rates):,.0f}",
            f"{result.requests_per_second:,.0f}",
            f"{result.retries:,}",
            f"{100 * efficiency(result, results[0]):.0f} %",
        )
        rows.append(row)

    # A second heading stands over the columns min, median and max
    lines = columns(rows, left=0)
    start = lines[0].index("GB/s  ") + len("GB/s  ")
    stop = lines[0].index("max") + len("max")
    above = f"{'':{start}}{'clips/s of a node':^{stop - start}}".rstrip()
    return "\n".join([above, *lines])


def efficiency(result: Result, fewest: Result) -> float:
    """Clips a second and node, as a share of those on the fewest nodes."""
    base = fewest.clips_per_second / fewest.nodes
    return result.clips_per_second / result.nodes / base if base else 0.0


def plot(results: Sequence[Result]) -> str:
    """Draw clips a second over nodes, and the ideal, on logarithmic axes, as an SVG file's text."""
    fewest = results[0]
    measured = []
    ideal = []
    labels = []
    for result in results:
        measured.append((result.nodes, result.clips_per_second))
        ideal.append((result.nodes, fewest.clips_per_second * result.nodes / fewest.nodes))
        share = "" if result is fewest else f", {100 * efficiency(result, fewest):.0f} %"
        labels.append(f"{result.clips_per_second:,.0f}{share}")

    against = f"{fewest.nodes} node{'' if fewest.nodes == 1 else 's'}"
    lines = [Line("ideal", ideal, is_reference=True), Line("measured", measured, labels)]
    return draw(
        "Clips a second over nodes",
        f"{fewest.work}; in per cent: efficiency against {against}",
        [Panel("clips/s", "nodes", lines)],
        width=_PAGE_WIDTH,
        height=_PANEL_HEIGHT,
    )


def _read(path: Path) -> Result:
    try:
        tree: Mapping[str, Any] = json.loads(read_text(path))
        if tree["format"] != _FORMAT:
            raise ConfigError(
                f"{path}: expected format {_FORMAT}, got {tree['format']!r:.20}; measure again"
            )
        total = tree["total"]
        decoded = tree["decode"]
        corpus = tree["corpus"]["sha256"][:12]

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
            work=f"clips {'read and decoded' if decoded else 'read'}, corpus "
            f"{int(corpus, 16):012x}",
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
