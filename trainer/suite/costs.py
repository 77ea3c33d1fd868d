"""What the runs of a suite cost, and their encoders: parameters, time a frame, hours, energy."""

import math
import statistics
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from surgstream.trainer.evaluation.report.numbers import NOTHING, counted
from surgstream.trainer.runs.costs import Start, read_encoder_cost, read_starts
from surgstream.trainer.suite.cells import Cell
from surgstream.trainer.suite.scoring import Entry
from surgstream.trainer.suite.table import encoders, title_of

_SAID = (
    "Hours are those of processes, GPU-hours where there are GPUs: all seeds, every start that was done, or stopped "
    "when it was asked to. Milliseconds are those of the encoder's forward pass of one clip at a time, by the frames "
    "of a clip."
)


def draw_costs(entries: Sequence[Entry], out: Path) -> str:
    """Draw what the runs of each line cost, as HTML.

    Args:
        entries: The lines of the table.
        out: The suite's directory.
    """
    names = encoders(entries)
    heads = "".join(f"<th>{escape(name)}</th>" for name in names)
    lines = [f"<tr><th>hours</th>{heads}</tr>\n"]
    devices: set[str] = set()
    for entry in entries:
        title = f"{escape(title_of(entry))}, {escape(entry.protocol)}"
        cells = []
        for name in names:
            runs = [cell for cell in entry.cells if cell.model.name == name and cell.key]
            cells.append(f"<td>{_of_runs(runs, out)}</td>")
            devices |= {start.device for cell in runs for start in read_starts(cell.folder(out))}
        lines.append(f"<tr><td>{title}</td>{''.join(cells)}</tr>\n")

    on = f" On {', '.join(sorted(devices))}." if devices else ""
    return (
        f'<h2>Cost</h2>\n<div class="scroll"><table>\n{"".join(lines)}</table></div>\n'
        f'<p class="soft">{_SAID}{escape(on)}</p>\n'
    )


def _of_runs(cells: Sequence[Cell], out: Path) -> str:
    """The hours of an encoder's runs of a line, and below them all else that is known."""
    by_run = [read_starts(cell.folder(out)) for cell in cells]
    starts = [start for found in by_run for start in found]
    if not starts:
        return NOTHING

    hours = sum(start.hours for start in starts)
    small = [counted(sum(map(bool, by_run)), "run"), *_energy(starts), *_encoder(cells, out)]
    return _plain(hours) + "".join(f"<small>{text}</small>" for text in small)


def _energy(starts: Sequence[Start]) -> Iterator[str]:
    joules = sum(start.joules for start in starts)
    if not math.isnan(joules):
        yield f"{_rounded(joules)}J"


def _encoder(cells: Sequence[Cell], out: Path) -> Iterator[str]:
    """Parameters and milliseconds of what is one encoder in all of them, but for random weights."""
    found = [cost for cell in cells if (cost := read_encoder_cost(cell.folder(out)))]
    if not found:
        return
    if found[0].parameters:
        yield f"{_rounded(found[0].parameters)} parameters"
    yield f"{_plain(statistics.median(cost.ms_per_frame for cost in found))} ms a frame"


def _plain(number: float) -> str:
    """A number with two digits that say something, and without a power of ten where it is large."""
    return f"{float(f'{number:.2g}'):,g}"


def _rounded(number: float) -> str:
    """A number with three digits and the letter of its thousands."""
    number = float(f"{number:.3g}")
    for letter, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:.3g} "
