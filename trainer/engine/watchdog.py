"""The watchdog of a rank: when the rank hangs or crashes, it leaves the stacks of all threads and a line about them."""

import faulthandler
import os
import signal
import threading
import time
from pathlib import Path
from typing import IO

_STDERR = 2
_MAX_SECONDS_LATER = 0.5


class Watchdog:
    """Ends this process when it has not moved for a time, and writes the stacks of its threads when it ends badly.

    Stacks are written when `beat` was not called for too long; at a crash or an abort, such as NCCL's after its
    timeout; and at SIGUSR2, which ends nothing. They are written without Python's lock, whichever thread holds it. The
    line on standard error needs that lock, and is missing where a library hangs with it.
    """

    def __init__(self, timeout_seconds: float, who: str = "this process") -> None:
        """Be ready for a crash and for SIGUSR2, which is passed on to the handler that is set already.

        Stacks go to standard error until `write_to` is called.

        Args:
            timeout_seconds: How long this process may take from one beat to the next, once it has beaten.
            who: The name of this process.
        """
        self._timeout_seconds = timeout_seconds
        self._who = who
        self._path: Path | None = None
        self._file: IO[str] | None = None
        self._due = 0.0
        self._closed = threading.Event()
        self._teller: threading.Thread | None = None
        self._arm()

    def write_to(self, path: Path) -> None:
        """Append stacks to a file from now on.

        Raises:
            OSError: It cannot be opened.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = path.open("a", encoding="utf-8")
        self._arm()
        if self._teller is not None:
            self.beat()

    def beat(self) -> None:
        """Say that this process moves."""
        self._due = time.monotonic() + self._timeout_seconds
        # A little later, so that the line comes first.
        later = min(_MAX_SECONDS_LATER, 0.05 * self._timeout_seconds)
        seconds = self._timeout_seconds + later
        faulthandler.dump_traceback_later(seconds, exit=True, file=self._output)
        if self._teller is None:
            self._teller = threading.Thread(target=self._tell, name="watchdog", daemon=True)
            self._teller.start()

    def close(self) -> None:
        """Stop watching. The file stays even without stacks, since another start may write to it by now."""
        faulthandler.cancel_dump_traceback_later()
        faulthandler.unregister(signal.SIGUSR2)
        faulthandler.disable()
        self._closed.set()
        if self._teller is not None:
            self._teller.join()
        if self._file is not None:
            self._file.close()

    @property
    def _output(self) -> IO[str] | int:
        return _STDERR if self._file is None else self._file

    def _arm(self) -> None:
        faulthandler.unregister(signal.SIGUSR2)
        faulthandler.enable(self._output)
        faulthandler.register(signal.SIGUSR2, self._output, chain=True)

    def _tell(self) -> None:
        """Wait until the time is over, and write the line."""
        # `beat` moves `_due` on from the main thread while this one waits.
        while (left := self._due - time.monotonic()) > 0:
            if self._closed.wait(left):
                return
        where = f"in {self._path}" if self._path else "below"
        line = (
            f"{self._who}: has not moved for {self._timeout_seconds:g} s, so it hangs or waits for "
            f"a rank that does; it ends, and the stacks of its threads are {where}\n"
        )
        # Not by a stream, whose lock may be what hangs.
        os.write(_STDERR, line.encode())
