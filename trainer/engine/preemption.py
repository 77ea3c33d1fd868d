"""Requests to stop a run, on which all ranks agree, so that all stop after the same step.

Slurm sends SIGUSR1 before the end of the allowed time (`--signal`), and SIGTERM when it takes the nodes away. A person
presses Ctrl-C, which is SIGINT, and presses it again when it takes too long; torchrun passes the first on as SIGINT,
and the second as SIGTERM.
"""

import os
import signal
import threading
from types import FrameType

import torch
import torch.distributed as dist

from surgstream.trainer.distributed import host_group

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

_IMPATIENT = (signal.SIGINT, signal.SIGTERM)
_INTERRUPTED = 130
"""The exit status that shells give to Ctrl-C."""

_STDERR = 2

_LAUNCHER_ENDED = 128
"""A reason above all numbers of signals."""

_SHIFT = 32


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


class StopConsensus:
    """Tells all ranks after the same step that any of them was asked to stop, or that its launcher has ended.

    Flags are exchanged between two calls of `stopping`, in a group of their own between CPUs: a call waits neither for
    the device nor, unless a rank is a whole step late, for another rank. The exchange also says whether to save.

    Attributes:
        saving: Whether a rank had found that it is time to save at the call before the last; the same on all ranks.
    """

    def __init__(self, stop: SignalFlag, timeout_seconds: float) -> None:
        """Join; collective.

        Args:
            stop: This rank's flag.
            timeout_seconds: How long an exchange may take.

        Raises:
            DistributedError: The hosts cannot reach each other.
        """
        self._stop = stop
        self._group = host_group(timeout_seconds)
        self._answer = 0
        self.saving = False
        self._exchange(save=False)

    def stopping(self, *, save: bool = False) -> bool:
        """Whether any rank had been asked to stop at the last call; all ranks call this equally often.

        Args:
            save: Whether this rank finds that it is time to save, which all ranks learn at the next call.
        """
        # The exchange that the last call began.
        self._work.wait()
        self._answer, saves = self._found.tolist()
        self.saving = saves > 0
        self._exchange(save=save)
        return self._answer > 0

    @property
    def cause(self) -> tuple[str, int]:
        """The signal or other reason, and the rank that it came to; of several the same one on every rank."""
        number, rank = divmod(self._answer, 1 << _SHIFT)
        if number == _LAUNCHER_ENDED:
            return "end of the launcher", rank
        return signal.Signals(number).name, rank

    def _exchange(self, *, save: bool) -> None:
        number = self._stop.reason()
        # The reason in the high bits, the rank in the low ones: the maximum is the highest reason and a rank with it.
        flag = (number << _SHIFT) + dist.get_rank() if number else 0
        self._found = torch.tensor([flag, int(save)])
        self._work = dist.all_reduce(
            self._found, dist.ReduceOp.MAX, group=self._group, async_op=True
        )
