"""The watchdog of a rank: when the rank hangs or crashes, it leaves the stacks of all threads and a line about them."""

import faulthandler
import os
import signal
import threading
import time
from pathlib import Path
from typing import IO

_STDERR = 2
_POLL_SECONDS = 0.05
_TELLING_SHARE = 0.8
"""The share of its time after which a rank says that it does not move: before any rank or NCCL ends the run, which all
do at about the same moment, so that whoever is silent even then is known to be frozen."""


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
            who: The name of this process and of its node.
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
        self._due = time.monotonic() + _TELLING_SHARE * self._timeout_seconds
        faulthandler.dump_traceback_later(self._timeout_seconds, exit=True, file=self._output)
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
        """Write a line each time that this process has not moved for too long."""
        told = 0.0
        # `beat` moves `_due` on from the main thread while this one waits.
        while not self._closed.wait(max(self._due - time.monotonic(), _POLL_SECONDS)):
            due = self._due
            if due == told or due > time.monotonic():
                continue

            told = due
            seconds = _TELLING_SHARE * self._timeout_seconds
            where = f"in {self._path}" if self._path else "below"
            line = (
                f"{self._who}: has not moved for {seconds:g} s, so it hangs or waits for a rank "
                f"that does; after {self._timeout_seconds:g} s it ends, and the stacks of its "
                f"threads are {where}\n"
            )
            # Not by a stream, whose lock may be what hangs.
            os.write(_STDERR, line.encode())
