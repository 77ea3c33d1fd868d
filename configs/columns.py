"""Tables of text, as commands print them."""

from collections.abc import Sequence

_GAP = "  "


def columns(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Align the cells of a table.

    Args:
        rows: Cells of text, equally many in each row; a heading is a row like any other.
        left: The number of leading columns that are aligned to the left; the others are aligned to the right.

    Returns:
        A line for each row, without blanks at its end. A column is as wide as its longest cell.

    Raises:
        ValueError: The rows differ in their number of cells.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(_GAP.join(cells).rstrip())
    return lines
