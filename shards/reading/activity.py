"""What each thread is doing, so that a run that stands still can say why."""

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
        """Note what this thread does for the length of a block."""
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
        """What every thread does now and for how long; one line."""
        now = time.monotonic()
        # A copy, since threads go on noting.
        notes = sorted(self._notes.copy().items())
        return (
            "; ".join(f"{name}: {what} for {now - since:.1f} s" for name, (what, since) in notes)
            or "no reader is active"
        )
