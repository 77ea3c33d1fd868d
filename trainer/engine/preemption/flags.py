"""Requests to stop a run, as they come to one rank.

Slurm sends SIGUSR1 before the end of the allowed time (`--signal`), and SIGTERM when it takes the nodes away. A person
presses Ctrl-C, which is SIGINT, and presses it again when it takes too long; torchrun passes the first on as SIGINT,
and the second as SIGTERM.
"""

import os
import signal
import threading
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

_IMPATIENT = (signal.SIGINT, signal.SIGTERM)
_INTERRUPTED = 130
"""The exit status that shells give to Ctrl-C."""

_STDERR = 2

_LAUNCHER_ENDED = 128
"""A reason above all numbers of signals."""


class SignalFlag:
    """Notes that one of some signals came; the signals do nothing else to this process from then on."""

    def __init__(self, *signals: signal.Signals) -> None:
        """Begin to note the signals, also where this process was started to ignore them, as by torchrun."""
        self.number = 0
        for number in signals:
            signal.signal(number, self._note)
            signal.siginterrupt(number, False)  # libraries that read or wait go on

    def take(self) -> int:
        """Return and forget the number of the signal that came last; 0 when none came since the last call."""
        number = self.number
        self.number = 0
        return number

    def reason(self) -> int:
        """The reason for this process to stop, or 0."""
        return self.number

    def _note(self, number: int, _: FrameType | None) -> None:
        self.number = number


class StopFlag(SignalFlag):
    """Notes that this process is to stop: after a signal, or because its launcher, such as torchrun, has ended."""

    def __init__(self, launcher: int | None, *, speaks: bool) -> None:
        """Begin to note it.

        Args:
            launcher: The process that has started this one; None where it was started alone and may outlive its shell.
            speaks: Whether to answer a person who presses Ctrl-C.
        """
        super().__init__(*STOP_SIGNALS)
        self._launcher = launcher
        self._speaks = speaks

        # A signal's number is in the pipe at once, also while the main thread runs no handler.
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        # A signal to a child is not for this process.
        os.register_at_fork(after_in_child=_stop_listening)
        threading.Thread(target=self._listen, args=(reader,), daemon=True).start()

    def reason(self) -> int:
        """See `SignalFlag.reason`."""
        launcher_ended = self._launcher is not None and os.getppid() != self._launcher
        return _LAUNCHER_ENDED if launcher_ended else super().reason()

    def _listen(self, reader: int) -> None:
        """Answer Ctrl-C, also while the main thread waits in a library, where no handler runs."""
        interrupted = False
        while True:
            for number in os.read(reader, 64):
                if interrupted and number in _IMPATIENT:
                    self._say(
                        "interrupted again: ends at once; what came after the newest checkpoint "
                        "is lost"
                    )
                    os._exit(_INTERRUPTED)

                if number == signal.SIGINT:
                    interrupted = True
                    self._say(
                        "interrupted: saves after a step, and ends; Ctrl-C again ends at once, "
                        "without saving"
                    )

    def _say(self, sentence: str) -> None:
        if self._speaks:
            # Not by a stream: the interrupted thread may hold its lock.
            os.write(_STDERR, f"\n{sentence}\n".encode())


def _stop_listening() -> None:
    signal.set_wakeup_fd(-1)


def cause_of(reason: int) -> str:
    """Name a reason to stop: a signal, or the end of the launcher."""
    return "end of the launcher" if reason == _LAUNCHER_ENDED else signal.Signals(reason).name
