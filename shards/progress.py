"""How far work has come: a bar on a terminal, a line now and then in a log."""

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from tqdm import tqdm
from tqdm.utils import disp_len

from surgstream.configs.printable import RETURN

_BAR_SECONDS, _LINE_SECONDS = 0.2, 30.0

_COUNTS = "{n_fmt}/{total_fmt}{unit} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
_HOURS = "{n:.2f}/{total:.2f} h [{elapsed}<{remaining}{postfix}]"

if TYPE_CHECKING:
    Bar = tqdm[Any]
else:
    Bar = tqdm


class _Redrawn(Bar):
    """Draws over what it has drawn, with a return that is written alone, since no other passes `Printable`."""

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
    """Writes lines, none twice, where a bar would draw over what a file keeps."""

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
    """A bar that redraws often on a terminal, a line at most every 30 s elsewhere; none where nothing is to be done.

    Args:
        label: Stands before it.
        total: How much there is to do.
        unit: What of.
        unit_scale: Whether to write thousands as k, M, G.
        an_hour: Units that make an hour, which is then what is written.
        over: What to go through, each a unit.
        done: How much of it is done already.
        shown: Whether to show anything.
    """
    on_terminal = sys.stderr.isatty()
    seconds = _BAR_SECONDS if on_terminal else _LINE_SECONDS
    bar = "|{bar}|" if on_terminal else ""
    kind: type[Bar] = _Redrawn if on_terminal else _Lines

    return kind(
        over,
        desc=label,
        total=total,
        initial=done,
        unit="h" if an_hour else unit,
        unit_scale=1 / an_hour if an_hour else unit_scale,
        bar_format=f"{{desc}}: {{percentage:3.0f}}%{bar} {_HOURS if an_hour else _COUNTS}",
        dynamic_ncols=on_terminal,
        mininterval=seconds,
        # Else tqdm's monitor thread, which refreshes after 10 s, would write more lines
        maxinterval=max(seconds, 10.0),
        disable=not (total and shown),
    )
