"""Stopping a run when somebody asks for it: all ranks after the same step, from which it can go on.

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
_INTERRUPTED = 130  # the exit status that shells give to Ctrl-C
_STDERR = 2

_LAUNCHER_ENDED = 128  # above all signals
_SHIFT = 32


class SignalFlag:
    """Notes that one of some signals came. They do nothing else to this process from then on."""

    def __init__(self, *signals: signal.Signals) -> None:
        """Begin to note them, also where this process inherited that they are ignored, as from torchrun."""
        self.number = 0
        for number in signals:
            signal.signal(number, self._note)
            signal.siginterrupt(number, False)  # libraries that read or wait go on

    def take(self) -> int:
        """The number of the signal that came last since this was last asked, or 0."""
        number, self.number = self.number, 0
        return number

    def reason(self) -> int:
        """Why this process is to stop, or 0."""
        return self.number

    def _note(self, number: int, _: FrameType | None) -> None:
        self.number = number


class StopFlag(SignalFlag):
    """Notes that this process is to stop: by a signal, or since what has started it, such as torchrun, was killed."""

    def __init__(self, launcher: int | None, *, speaks: bool) -> None:
        """Begin to note it.

        Args:
            launcher: The process that has started this one; None where it was started alone and may outlive its shell.
            speaks: Whether to answer a person who presses Ctrl-C.
        """
        super().__init__(*STOP_SIGNALS)
        self._launcher, self._speaks = launcher, speaks

        # A signal's number is in the pipe at once, also while the main thread runs no handler.
        heard, told = os.pipe()
        os.set_blocking(told, False)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        os.register_at_fork(
            after_in_child=_hear_nothing
        )  # what a child is sent is not for this process
        threading.Thread(target=self._listen, args=(heard,), daemon=True).start()

    def reason(self) -> int:
        """See `SignalFlag.reason`."""
        launcher_ended = self._launcher is not None and os.getppid() != self._launcher
        return _LAUNCHER_ENDED if launcher_ended else super().reason()

    def _listen(self, heard: int) -> None:
        """Answer whoever interrupts, also while the main thread waits in a library, where no handler runs."""
        interrupted = False
        while True:
            for number in os.read(heard, 64):
                if interrupted and number in _IMPATIENT:
                    self._say(
                        "interrupted again: ends at once; what came after the newest checkpoint is lost"
                    )
                    os._exit(_INTERRUPTED)
                if number == signal.SIGINT:
                    interrupted = True
                    self._say(
                        "interrupted: saves after a step, and ends; Ctrl-C again ends at once, without saving"
                    )

    def _say(self, sentence: str) -> None:
        if self._speaks:
            # Not by a stream, whose lock may be held by whom this interrupts.
            os.write(_STDERR, f"\n{sentence}\n".encode())


def _hear_nothing() -> None:
    signal.set_wakeup_fd(-1)


class Agreement:
    """Whether any rank was asked to stop, or its launcher has ended, such that all ranks learn it at the same place.

    Flags are exchanged between two questions, on a group of their own between CPUs: an answer waits neither for the
    device nor, unless a rank is a whole step late, for another rank. With them goes whether it is time to save.

    Attributes:
        saving: Whether a rank had found that it is time to save when all were last asked; the same on all of them.
    """

    def __init__(self, stop: SignalFlag, timeout_seconds: float) -> None:
        """Join; collective.

        Args:
            stop: This rank's flag.
            timeout_seconds: How long an exchange may take.

        Raises:
            DistributedError: The hosts cannot reach each other.
        """
        self._stop, self._group = stop, host_group(timeout_seconds)
        self._answer, self.saving = 0, False
        self._exchange(save=False)

    def stopping(self, *, save: bool = False) -> bool:
        """Whether any rank had been asked to stop when all were last here; all ranks call this equally often.

        Args:
            save: Whether this rank finds that it is time to save, which all learn when they are next here.
        """
        # Of the exchange that the last question began.
        self._work.wait()
        self._answer, saves = self._found.tolist()
        self.saving = saves > 0
        self._exchange(save=save)
        return self._answer > 0

    @property
    def cause(self) -> tuple[str, int]:
        """The signal or other reason, and the rank that it came to; of several the same one on every rank."""
        number, rank = divmod(self._answer, 1 << _SHIFT)
        return "end of the launcher" if number == _LAUNCHER_ENDED else signal.Signals(
            number
        ).name, rank

    def _exchange(self, *, save: bool) -> None:
        number = self._stop.reason()
        # The reason above the rank: the maximum is the highest reason, and a rank that has it.
        self._found = torch.tensor(
            [(number << _SHIFT) + dist.get_rank() if number else 0, int(save)]
        )
        self._work = dist.all_reduce(
            self._found, dist.ReduceOp.MAX, group=self._group, async_op=True
        )
