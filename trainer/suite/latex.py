"""The table of a suite for a paper, in LaTeX with booktabs and xcolor."""

import re
from collections.abc import Iterator, Sequence

from surgstream.trainer.suite.config import SuiteConfig
from surgstream.trainer.suite.scoring import Entry
from surgstream.trainer.suite.table import (
    HOW_TO_READ,
    YARDSTICKS,
    caveats,
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
        *map(_heading, names),
        *(rf"\textit{{{escaped(name)}}}" for name in YARDSTICKS),
    ]
    marks: list[str] = []
    lines = [line for entry in entries for line in _lines(entry, names, marks)]
    return "\n".join(
        [
            "% \\usepackage{booktabs,xcolor}",
            r"\begin{table*}",
            r"\centering\small",
            rf"\caption{{{escaped(suite.title)}. {escaped(HOW_TO_READ)}}}",
            rf"\begin{{tabular}}{{l{'c' * (len(heads) - 1)}}}",
            r"\toprule",
            f"{' & '.join(heads)} \\\\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            *_legend(marks, list(caveats(entries))),
            r"\end{table*}",
            "",
        ]
    )


def _heading(name: str) -> str:
    """The name of an encoder, in lines that end with its hyphens."""
    parts = re.split("(?<=-)", name)
    return _stacked(parts, "c") if len(parts) > 1 else escaped(name)


def _stacked(parts: Sequence[str], to: str) -> str:
    lines = r"\\".join(map(escaped, parts))
    return rf"\shortstack[{to}]{{{lines}}}"


def _lines(entry: Entry, names: Sequence[str], marks: list[str]) -> Iterator[str]:
    about = escaped(f"{entry.protocol}: {metric_of(entry)}")
    cells = [_cell(entry, name, marks) for name in (*names, *YARDSTICKS)]
    title = _stacked(re.split("(?<=:) ", title_of(entry)), "l")
    task = rf"\shortstack[l]{{{title}\\{{\scriptsize {about}}}}}"
    yield f"{' & '.join([task, *cells])} \\\\ \\addlinespace"

    if entry.result:
        for row, value in published_of(entry.result):
            letters = "".join(row.caveats)
            mark = rf"$^{{\mathrm{{{escaped(letters)}}}}}$" if letters else ""
            said = rf"\quad published: {escaped(row.model)}, {escaped(row.protocol)}: {escaped(value)}{mark}"
            yield rf"\multicolumn{{{len(cells) + 1}}}{{l}}{{\textcolor{{gray}}{{{said}}}}} \\"


def _cell(entry: Entry, name: str, marks: list[str]) -> str:
    """A value over its interval, with the numbers of what a reader must know of it."""
    value, ends = value_of(entry, name)
    text = escaped(value)
    if name and name == entry.best:
        text = rf"\textbf{{{text}}}"

    told = [*marks_of(entry, name), *filter(None, [clean_part_of(entry, name)])]
    marks += [mark for mark in told if mark not in marks]
    if told:
        text += f"$^{{{','.join(str(marks.index(mark) + 1) for mark in sorted(told, key=marks.index))}}}$"
    if ends:
        text = rf"\shortstack{{{text}\\{{\scriptsize {escaped(ends)}}}}}"
    return text


def _legend(marks: Sequence[str], caveats: Sequence[str]) -> Iterator[str]:
    """What the numbers behind values mean, and the letters behind published ones."""
    numbered = [f"$^{{{number}}}$ {escaped(mark)}" for number, mark in enumerate(marks, 1)]
    for said in (numbered, [escaped(caveat) for caveat in caveats]):
        if said:
            yield rf"\par\smallskip{{\footnotesize {'; '.join(said)}}}"
