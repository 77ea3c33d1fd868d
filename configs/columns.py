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
        cells: list[str] = []
        for cell, width in zip(row, widths, strict=True):
            is_left = len(cells) < left
            cells.append(cell.ljust(width) if is_left else cell.rjust(width))
        lines.append(_GAP.join(cells).rstrip())
    return lines


def markdown(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Write a table as Markdown.

    Args:
        rows: Cells of text, equally many in each row; the first row is the heading.
        left: The number of leading columns that are aligned to the left; the others are aligned to the right.

    Returns:
        The table's lines, without a line end after the last one.
    """
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    heading, *others = [f"| {' | '.join(row)} |" for row in escaped]
    rule = "|" + "---|" * left + "--:|" * (len(rows[0]) - left)
    return "\n".join([heading, rule, *others])
