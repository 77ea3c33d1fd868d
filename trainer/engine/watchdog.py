"""What a rank leaves behind when it hangs or crashes: the stacks of all its threads."""

import faulthandler
import signal
from pathlib import Path


class Watchdog:
    """Ends this process when it has not moved for a time, and writes down where all its threads are when it ends badly.

    Stacks are appended to a file when `beat` was not called for too long; at a crash or an abort, such as NCCL's after
    its timeout; and at SIGUSR2, which ends nothing. They are written without Python's lock, so whatever holds it.
    """

    def __init__(self, path: Path, timeout_seconds: float) -> None:
        """Be ready for a crash and for SIGUSR2, which goes on to the handler that is set by now.

        Args:
            path: The file for the stacks.
            timeout_seconds: How long this process may take from one beat to the next, once it has beaten.

        Raises:
            OSError: The file cannot be opened.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._timeout_seconds = path, timeout_seconds
        self._file = path.open("a", encoding="utf-8")
        faulthandler.enable(self._file)
        faulthandler.register(signal.SIGUSR2, self._file, chain=True)

    def beat(self) -> None:
        """Say that this process moves."""
        faulthandler.dump_traceback_later(self._timeout_seconds, exit=True, file=self._file)

    def close(self) -> None:
        """Stop watching; a file without stacks is removed."""
        faulthandler.cancel_dump_traceback_later()
        faulthandler.unregister(signal.SIGUSR2)
        faulthandler.disable()
        self._file.close()
        if self._path.stat().st_size == 0:
            self._path.unlink()
