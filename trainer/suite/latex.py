"""The table of a suite for a paper, in LaTeX with booktabs and xcolor."""

import re
from collections.abc import Iterator, Sequence

from surgstream.trainer.suite.config import SuiteConfig
from surgstream.trainer.suite.scoring import Entry
from surgstream.trainer.suite.table import (
    HOW_TO_READ,
    YARDSTICKS,
    clean_part_of,
    encoders,
    marks_of,
    metric_of,
    published_of,
    title_of,
    value_of,
)

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}
_ANY_SPECIAL = re.compile("[" + re.escape("".join(_SPECIAL)) + "]")
_TEXTS = {"–": "--", "−": "$-$"}


def escaped(text: str) -> str:
    """A text in which LaTeX sees nothing but letters."""
    text = _ANY_SPECIAL.sub(lambda found: _SPECIAL[found[0]], text)
    for letter, written in _TEXTS.items():
        text = text.replace(letter, written)
    return text


def draw_latex(suite: SuiteConfig, entries: Sequence[Entry]) -> str:
    """Write the table as a `table*` that a paper can include; published values are grey, with letters for caveats."""
    names = encoders(entries)
    heads = [
        "Task",
        "Metric",
        *map(escaped, names),
        *(rf"\textit{{{escaped(name)}}}" for name in YARDSTICKS),
    ]
    lines = [
        "% \\usepackage{booktabs,xcolor}",
        r"\begin{table*}",
        r"\centering\small",
        rf"\caption{{{escaped(suite.title)}. {escaped(HOW_TO_READ)}}}",
        rf"\begin{{tabular}}{{ll{'c' * (len(heads) - 2)}}}",
        r"\toprule",
        f"{' & '.join(heads)} \\\\",
        r"\midrule",
        *(line for entry in entries for line in _lines(entry, names)),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def _lines(entry: Entry, names: Sequence[str]) -> Iterator[str]:
    task = escaped(f"{title_of(entry)} ({entry.protocol})")
    cells = [_cell(entry, name) for name in (*names, *YARDSTICKS)]
    yield f"{' & '.join([task, escaped(metric_of(entry)), *cells])} \\\\"

    if entry.result:
        for row, value in published_of(entry.result):
            letters = "".join(row.caveats)
            mark = rf"$^{{\mathrm{{{escaped(letters)}}}}}$" if letters else ""
            said = (
                rf"\quad published: {escaped(row.model)}, {escaped(row.protocol)}: {value:g}{mark}"
            )
            yield rf"\multicolumn{{{len(cells) + 2}}}{{l}}{{\textcolor{{gray}}{{{said}}}}} \\"


def _cell(entry: Entry, name: str) -> str:
    value, ends = value_of(entry, name)
    text = escaped(value)
    if name and name == entry.best:
        text = rf"\textbf{{{text}}}"
    if ends:
        text += rf" {{\footnotesize {escaped(ends)}}}"
    marks = "; ".join([*marks_of(entry, name), *filter(None, [clean_part_of(entry, name)])])
    return text + (rf" {{\footnotesize ({escaped(marks)})}}" if marks else "")
