"""Stores that note what is done to them, and fail or wait where a test wants it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from surgstream.shards.storage.base import Sink
from surgstream.shards.storage.local import LocalStorage


class WatchedStorage(LocalStorage):
    """A folder that is told of each change before it is made.

    Attributes:
        changes: What was done, such as `write step_00000001/state.json`.
        before: Called with each of them; may raise, or wait.
        read_names: The files that were read from.
    """

    def __init__(self, folder: Path, before: Callable[[str], None] = lambda change: None) -> None:
        super().__init__(folder, str(folder))
        self.changes = list[str]()
        self.before = before
        self.read_names = set[str]()

    @contextmanager
    def writer(self, name: str) -> Iterator[Sink]:
        """See `Storage.writer`."""
        with super().writer(name) as sink:
            yield sink
            self._note(f"write {name}")

    def delete(self, name: str) -> None:
        """See `Storage.delete`."""
        self._note(f"delete {name}")
        super().delete(name)

    def read_into(
        self, name: str, start: int, out: memoryview, stop: threading.Event | None = None
    ) -> None:
        """See `Storage.read_into`."""
        self.read_names.add(name)
        super().read_into(name, start, out, stop)

    def _note(self, change: str) -> None:
        self.before(change)
        self.changes.append(change)
