"""Runs checks so that none of them can end or hold up the others."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import torch

from surgstream.configs.errors import ConfigError, SurgstreamError
from surgstream.shards.errors import StorageError
from surgstream.shards.storage.base import without_secrets
from surgstream.trainer.preflight.judgement.report import CheckFailure
from surgstream.trainer.preflight.rendezvous import Rendezvous

T = TypeVar("T")

SECONDS_PER_RANK = 0.1
"""More time for each check by every rank: all of them start, read, write and connect at once."""

_MAX_SENTENCE = 400


class Checklist:
    """The checks of one rank.

    Attributes:
        failures: The checks that failed so far.
    """

    def __init__(self, meeting: Rendezvous, device: torch.device, seconds: float) -> None:
        """Start the clock.

        Args:
            meeting: The ranks.
            device: The device of this rank.
            seconds: Time for all checks together.
        """
        self.failures: list[CheckFailure] = []
        self._meeting = meeting
        self._device = device
        self._more_seconds = SECONDS_PER_RANK * meeting.rank_info.world_size
        self._deadline = time.monotonic() + seconds

    def has_failed(self, *checks: str) -> bool:
        """Whether a check of one of these names has failed on this rank."""
        return any(failure.check in checks for failure in self.failures)

    def at_most(self, seconds: float) -> float:
        """The given seconds and more for many ranks, or what is left for all checks; never less than a moment."""
        left = self._deadline - time.monotonic()
        return min(seconds + self._more_seconds, max(left, 0.1))

    def run(
        self,
        check: str,
        action: Callable[[], T],
        *,
        seconds: float,
        advice: str,
        fatal: bool = True,
    ) -> T | None:
        """Run one check in a thread of its own, which is left behind when it does not end.

        Args:
            check: Its name, a column of the table.
            action: The check itself.
            seconds: The most time that it may take on one rank, see `at_most`.
            advice: What a user should do when it fails without saying so itself.
            fatal: Whether a run cannot start without it.

        Returns:
            The result of the action; None when it failed.
        """
        # Tells rank 0 in which check this rank falls silent, if it does.
        self._meeting.put(f"doing/{self._meeting.rank_info.rank}", check)
        outcome: Future[T] = Future()
        arguments = (action, outcome)
        thread = threading.Thread(
            target=self._act, args=arguments, name=f"check-{check}", daemon=True
        )
        thread.start()
        limit = self.at_most(seconds)
        in_time = True
        # Who is to blame for a network that fails is not known by whom it fails
        of_node = check != "network"
        try:
            return outcome.result(limit)
        except StorageError as error:  # says what happened, not what to do
            sentence = f"{error}; {advice}"
        except SurgstreamError as error:
            sentence = str(error)
            of_node = of_node and not isinstance(error, ConfigError)
        except TimeoutError:
            in_time = False
            sentence = f"no answer within {limit:.0f} s; {advice}"
        except OSError as error:
            problem = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            sentence = f"{problem}; {advice}"
        except Exception as error:  # whatever it is, the other checks go on
            said = next(iter(str(error).splitlines()), "")
            sentence = f"{type(error).__name__}: {said[:_MAX_SENTENCE]}; {advice}"

        self.failures.append(
            CheckFailure(
                check=check,
                sentence=without_secrets(sentence),
                in_time=in_time,
                fatal=fatal,
                of_node=of_node,
            )
        )
        return None

    def _act(self, action: Callable[[], T], outcome: Future[T]) -> None:
        try:
            if self._device.type == "cuda" and self._device.index < torch.cuda.device_count():
                torch.cuda.set_device(self._device)  # each thread has its own
            outcome.set_result(action())
        except BaseException as error:
            outcome.set_exception(error)
