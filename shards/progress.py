"""The progress of work: a bar on a terminal, a line now and then in a log."""

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from tqdm import tqdm
from tqdm.utils import disp_len

from surgstream.configs.printable import RETURN

_BAR_SECONDS = 0.2
_LINE_SECONDS = 30.0

_COUNTS = "{n_fmt}/{total_fmt}{unit} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
_HOURS = "{n:.2f}/{total:.2f} h [{elapsed}<{remaining}{postfix}]"

if TYPE_CHECKING:
    Bar = tqdm[Any]
else:
    Bar = tqdm


class _Redrawn(Bar):
    """Draws over itself, with a return that is written alone, since `Printable` lets no other pass."""

    @staticmethod
    def status_printer(file: Any) -> Callable[[str], None]:
        width = 0

        def draw(line: str) -> None:
            nonlocal width
            blanks = " " * max(0, width - disp_len(line))
            width = disp_len(line)
            file.write(RETURN)
            file.write(line + blanks)
            file.flush()

        return draw


class _Lines(Bar):
    """Writes lines, none of them twice, where output goes to a file and a bar cannot draw over itself."""

    @staticmethod
    def status_printer(file: Any) -> Callable[[str], None]:
        last = ""

        def say(line: str) -> None:
            nonlocal last
            if line and line != last:
                last = line
                file.write(f"{line}\n")
                file.flush()

        return say

    def moveto(self, n: int) -> None:
        """Lines stay where they are."""

    def close(self) -> None:
        """Say how it ended."""
        if not self.disable:
            self.refresh()
            self.sp = None  # nothing is left to be drawn
        super().close()


def progress_bar(
    label: str,
    total: int,
    *,
    unit: str,
    unit_scale: bool = False,
    an_hour: float | None = None,
    over: Iterable[Any] | None = None,
    done: int = 0,
    shown: bool = True,
) -> Bar:
    """A bar that redraws often on a terminal, and a line at most every 30 s elsewhere; nothing where `total` is 0.

    Args:
        label: The text before the bar.
        total: Units to do.
        unit: The name of a unit.
        unit_scale: Whether to write thousands as k, M, G.
        an_hour: Units in an hour; makes the bar count hours.
        over: An iterable to go through, one unit for each item.
        done: Units that are done already.
        shown: Whether to show anything.
    """
    on_terminal = sys.stderr.isatty()
    seconds = _BAR_SECONDS if on_terminal else _LINE_SECONDS
    bar = "|{bar}|" if on_terminal else ""
    kind: type[Bar] = _Redrawn if on_terminal else _Lines
    counts = _HOURS if an_hour else _COUNTS

    return kind(
        over,
        desc=label,
        total=total,
        initial=done,
        unit="h" if an_hour else unit,
        unit_scale=1 / an_hour if an_hour else unit_scale,
        bar_format=f"{{desc}}: {{percentage:3.0f}}%{bar} {counts}",
        dynamic_ncols=on_terminal,
        mininterval=seconds,
        # Otherwise tqdm's monitor thread, which refreshes after 10 s, would write more lines.
        maxinterval=max(seconds, 10.0),
        disable=not (total and shown),
    )
