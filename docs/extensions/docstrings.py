"""Docstrings, which are plain English, as reStructuredText that means the same."""

import re
from collections.abc import Sequence

from sphinx.application import Sphinx

_BAR = re.compile(r"\|(?=[^`]*(?:`[^`]*`[^`]*)*$)")
"""One that is not between backticks."""


def plain(lines: Sequence[str]) -> list[str]:
    """Let bars, as in |x - y|, be bars, and what is indented below a colon stay as it is written.

    Args:
        lines: A docstring's.
    """
    made = []
    for number, line in enumerate(lines):
        after = lines[number + 1 : number + 3]
        is_followed = len(after) == 2 and not after[0] and after[1].startswith(" ")
        if is_followed and re.fullmatch(r"[^:.].*[^:]:", line):
            made.append(f"{line}:")
        elif line.startswith("    "):
            made.append(line)
        else:
            made.append(_BAR.sub(r"\\|", line))
    return made


def process(
    app: Sphinx, what: str, name: str, target: object, options: object, lines: list[str]
) -> None:
    """Change the lines of a docstring."""
    lines[:] = plain(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
