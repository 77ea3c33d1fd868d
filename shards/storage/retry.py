"""When to try a failed read again, and when to give up."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from surgstream.configs.ranges import Range
from surgstream.shards.errors import StorageError

_SHOWN = 12


@dataclass(frozen=True, kw_only=True)
class RetryConfig:
    """How long a store, or the file system of a folder, may fail.

    Attributes:
        timeout_seconds: A read that gets not one new byte for so long ends the run.
        first_delay_seconds: Longest wait after the first failure in a row; it doubles with each further one.
        max_delay_seconds: Where the doubling ends.
    """

    timeout_seconds: Annotated[float, Range(1e-3, 1e6)] = 300.0
    first_delay_seconds: Annotated[float, Range(1e-3, 1e4)] = 0.1
    max_delay_seconds: Annotated[float, Range(1e-3, 1e4)] = 20.0


@dataclass(frozen=True)
class Failure:
    """Why a try failed.

    Attributes:
        cause: One word, for counting: `throttled`, `reset`, ...
        detail: What the store or the network said.
        retry_after: Seconds that the store asked to wait; None when it did not say.
        fatal: Trying again cannot help.
    """

    cause: str
    detail: str
    retry_after: float | None = None
    fatal: bool = False


class Retries:
    """The failed tries of one read: waits between them, and tells their history when it gives up."""

    def __init__(
        self,
        what: str,
        config: RetryConfig,
        *,
        causes: Counter[str],
        stop: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with no failure.

        Args:
            what: What is read, for messages.
            config: When to wait and to give up.
            causes: Where to count failures.
            stop: When set, waiting ends and so does the read; None never ends it.
            clock: Seconds.
        """
        self._what, self._config, self._causes, self._stop, self._clock = (
            what,
            config,
            causes,
            stop,
            clock,
        )
        self._started = self._progress = clock()
        self._in_a_row = 0
        self._history: list[str] = []

    def progressed(self) -> None:
        """Note that bytes came."""
        self._progress, self._in_a_row = self._clock(), 0

    def failed(self, failure: Failure) -> None:
        """Note a failure and wait: a random time up to the doubling limit, or what the store asked for if longer.

        Raises:
            StorageError: It is fatal, time is up, or the reader is closing.
        """
        now = self._clock()
        self._causes[failure.cause] += 1
        self._history.append(f"at {now - self._started:.1f} s {failure.cause} ({failure.detail})")
        if failure.fatal:
            raise StorageError(f"{self._what}: {failure.detail}")

        config = self._config
        # The exponent is bounded, since 2.0 ** 1024 overflows
        limit = min(
            config.max_delay_seconds, config.first_delay_seconds * 2.0 ** min(self._in_a_row, 60)
        )
        delay = max(random.uniform(0.0, limit), failure.retry_after or 0.0)
        left = self._progress + config.timeout_seconds - now
        if left <= 0.0:
            raise StorageError(self._given_up())
        self._in_a_row += 1
        # An event that nobody can set only makes this thread sleep
        if (self._stop or threading.Event()).wait(min(delay, left)):
            raise StorageError(f"{self._what}: cancelled: the reader is closing")

    def _given_up(self) -> str:
        shown = self._history[-_SHOWN:]
        before = (
            f"{len(self._history) - len(shown)} earlier ones, then "
            if len(self._history) > len(shown)
            else ""
        )
        return (
            f"{self._what}: nothing came for {self._config.timeout_seconds:g} s; {len(self._history)} failed tries: "
            f"{before}{'; '.join(shown)}"
        )
