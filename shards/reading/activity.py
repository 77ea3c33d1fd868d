"""A board of what each thread is doing, so that a run that stalls can say why."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Activities:
    """A board on which threads note what they wait for."""

    def __init__(self) -> None:
        """Start with an empty board."""
        self._notes: dict[str, tuple[str, float]] = {}

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Note what this thread does while a block runs."""
        # Each thread writes only its own note, so no lock is needed.
        name = threading.current_thread().name
        before = self._notes.get(name)
        self._notes[name] = what, time.monotonic()
        try:
            yield
        finally:
            if before is None:
                del self._notes[name]
            else:
                self._notes[name] = before

    def report(self) -> str:
        """One line with the current activity of every thread and its duration."""
        now = time.monotonic()
        # A copy, since other threads change the board.
        notes = sorted(self._notes.copy().items())
        told = [f"{name}: {what} for {now - since:.1f} s" for name, (what, since) in notes]
        return "; ".join(told) or "no reader is active"
