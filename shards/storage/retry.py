"""Retries of failed reads: delays, and the time after which a read is given up."""

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
    """The time for which a store, or the file system of a folder, may fail.

    Attributes:
        timeout_seconds: A read that gets not one new byte for this long ends the run.
        first_delay_seconds: Longest wait after the first failure in a row; it doubles with each further one.
        max_delay_seconds: The limit of the doubling.
    """

    timeout_seconds: Annotated[float, Range(1e-3, 1e6)] = 300.0
    first_delay_seconds: Annotated[float, Range(1e-3, 1e4)] = 0.1
    max_delay_seconds: Annotated[float, Range(1e-3, 1e4)] = 20.0


@dataclass(frozen=True)
class Failure:
    """The reason of a failed try.

    Attributes:
        cause: One word, for counting: `throttled`, `reset`, ...
        detail: The words of the store or the network.
        retry_after: Seconds that the store asked to wait; None when it did not.
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
            what: The read, for messages.
            config: Delays and the timeout.
            causes: The counter of failures.
            stop: When set, waiting ends and so does the read; None never ends it.
            clock: Seconds.
        """
        self._what = what
        self._config = config
        self._causes = causes
        # An event that is never set only makes the thread sleep.
        self._stop = stop or threading.Event()
        self._clock = clock
        self._started = self._progress = clock()
        self._in_a_row = 0
        self._history: list[str] = []

    def progressed(self) -> None:
        """Note that bytes came."""
        self._progress = self._clock()
        self._in_a_row = 0

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
        # The exponent is bounded, since 2.0 ** 1024 overflows.
        doubled = config.first_delay_seconds * 2.0 ** min(self._in_a_row, 60)
        limit = min(config.max_delay_seconds, doubled)
        delay = max(random.uniform(0.0, limit), failure.retry_after or 0.0)

        left = self._progress + config.timeout_seconds - now
        if left <= 0.0:
            raise StorageError(self._given_up())
        self._in_a_row += 1
        if self._stop.wait(min(delay, left)):
            raise StorageError(f"{self._what}: cancelled: the reader is closing")

    def _given_up(self) -> str:
        num_tries = len(self._history)
        shown = "; ".join(self._history[-_SHOWN:])
        if num_tries > _SHOWN:
            shown = f"{num_tries - _SHOWN} earlier ones, then {shown}"
        return (
            f"{self._what}: nothing came for {self._config.timeout_seconds:g} s; "
            f"{num_tries} failed tries: {shown}"
        )
