"""Stopping a run when somebody asks for it: all ranks after the same step, from which it can go on.

Slurm sends SIGUSR1 before the end of the allowed time (`--signal`), and SIGTERM when it takes the nodes away.
"""

import signal
from types import FrameType

import torch
import torch.distributed as dist

from trainer.distributed import host_group

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
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

    def _note(self, number: int, _: FrameType | None) -> None:
        self.number = number


class Agreement:
    """Whether any rank was asked to stop, such that all ranks learn it at the same place.

    Flags are exchanged between two questions, on a group of their own between CPUs: an answer waits neither for the
    device nor, unless a rank is a whole step late, for another rank.
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
        self._answer = 0
        self._exchange()

    def stopping(self) -> bool:
        """Whether any rank had been asked to stop when all were last here; all ranks call this equally often."""
        self._work.wait()
        self._answer = int(self._found)
        self._exchange()
        return self._answer > 0

    @property
    def cause(self) -> tuple[str, int]:
        """The signal, and the rank that it came to; of several the same one on every rank."""
        return signal.Signals(self._answer >> _SHIFT).name, self._answer % (1 << _SHIFT)

    def _exchange(self) -> None:
        number = self._stop.number
        self._found = torch.tensor((number << _SHIFT) + dist.get_rank() if number else 0)
        self._work = dist.all_reduce(self._found, dist.ReduceOp.MAX, group=self._group, async_op=True)
