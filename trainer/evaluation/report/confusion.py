"""Confusion matrices as tables of colour."""

from collections.abc import Sequence
from html import escape

from surgstream.trainer.evaluation.metrics.confusion import Ints

_MAX_WITH_NUMBERS = 24
_TINT = (31, 111, 180)


def draw_confusion(counts: Ints, classes: Sequence[str]) -> str:
    """Draw a confusion matrix as an HTML table: each row in per cent of its true class, darker where there is more.

    Args:
        counts: (C, C), rows by true class, down, and predicted class, across.
        classes: The names of the classes.
    """
    has_numbers = len(classes) <= _MAX_WITH_NUMBERS
    heads = "".join(f"<th><span>{escape(_words(name))}</span></th>" for name in classes)
    lines = [f"<tr><th></th>{heads}<th><span>rows</span></th></tr>"]

    for name, row in zip(classes, counts, strict=True):
        total = int(row.sum())
        cells = []
        for other, count in zip(classes, row.tolist(), strict=True):
            share = count / total if total else 0.0
            text = f"{100 * share:.0f}" if has_numbers and share >= 0.005 else ""
            title = escape(f"{count:,} of {total:,} rows of {name} taken for {other}")
            cells.append(f'<td style="{_tint(share)}" title="{title}">{text}</td>')
        lines.append(
            f'<tr><th>{escape(_words(name))}</th>{"".join(cells)}<td class="n">{total:,}</td></tr>'
        )
    kind = "confusion" if has_numbers else "confusion small"
    return f'<table class="{kind}">{"".join(lines)}</table>\n'


def _tint(share: float) -> str:
    red, green, blue = (round(255 + share * (channel - 255)) for channel in _TINT)
    ink = "#fff" if share > 0.55 else "inherit"
    return f"background:rgb({red},{green},{blue});color:{ink}"


def _words(name: str) -> str:
    return name.replace("_", " ")
