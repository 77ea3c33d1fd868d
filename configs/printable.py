"""Safe printing: whatever files, names and servers put into a message, a terminal shows it and obeys nothing of it.

The commands wrap their output in `Printable`, so no message has to think of it. To check what is read would not do:
names on disks, errors of libraries and answers of stores come by ways of their own.
"""

import re
from typing import Any, TextIO

CLEAR = "\x1b[H\x1b[J"
RETURN = "\r"
"""Texts that clear a terminal and that begin its line again; they pass, but only if they are written alone."""

_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Controls of C0 and C1 but tab and newline, marks that turn the direction of text, and halves of characters."""


def printable(text: str) -> str:
    r"""Replace whatever a terminal would obey, or could not show, by escapes such as `\x1b`."""
    return _OBEYED.sub(lambda match: ascii(match[0])[1:-1], text)


class Printable:
    """A stream of text that only printable text passes; anything else of it is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, as far as the stream's encoding goes; the rest as escapes."""
        shown = text if text in (CLEAR, RETURN) else printable(text)
        encoding = self._stream.encoding or "utf-8"
        self._stream.write(shown.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write the lines one after the other."""
        for line in lines:
            self.write(line)
