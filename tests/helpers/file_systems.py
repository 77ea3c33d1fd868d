"""A file system that fails for a while, as those over a network do."""

import builtins
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CALLS = ((builtins, "open"), (os, "open"), (os, "stat"), (os, "scandir"), (os, "preadv"))
"""How we ask a file system."""


class FailingCalls:
    """Calls about files below a folder fail with errors of the operating system, one after another.

    Attributes:
        asked: The names of all calls so far.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        """Nothing fails yet."""
        self.asked: list[str] = []
        self._folder, self._errors = str(folder), iter(())
        for module, name in CALLS:
            monkeypatch.setattr(module, name, self._failing(name, getattr(module, name)))

    def plan(self, *errors: int | None) -> None:
        """The next calls fail with these, or do not fail where it is None."""
        self._errors: Iterator[int | None] = iter(errors)

    def always(self, *errors: int) -> None:
        """All calls fail from now on, with these in turn."""
        self._errors = itertools.cycle(errors)

    def at_random(self, error: int, draw: Callable[[], bool]) -> None:
        """Each call fails for which `draw` says so."""
        self._errors = iter(lambda: error if draw() else None, 0)

    def _failing(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def stand_in(what: Any, *rest: Any, **more: Any) -> Any:
            if isinstance(what, int) or str(what).startswith(self._folder):
                self.asked.append(name)
                if error := next(self._errors, None):
                    raise OSError(error, os.strerror(error))
            return call(what, *rest, **more)

        return stand_in
