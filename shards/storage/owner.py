"""Ownership of a folder or an S3 prefix: one process writes at a time, and all others are told which one it is.

A writer leaves a record in `.owner/` there: host, process, Slurm job, start time, and a count of heartbeats, one every
ten seconds. The records of exclusive writers are numbered, and each is created only if it is absent, by `link` on a
file system and `If-None-Match: *` on S3: of several processes that want the same number one gets it, and the highest
number is the owner. The records of writers that share have names of their own.

Clocks are never compared. A process of this machine is looked up; an earlier start of the same Slurm job has ended,
since Slurm has started it again; the heartbeats of all others are watched, for a minute at most.
"""

import contextlib
import logging
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from surgstream.shards.errors import OwnedError, StorageError
from surgstream.shards.storage.base import Storage
from surgstream.shards.storage.owner_record import Record, is_hidden, started, this_process

log = logging.getLogger(__name__)

OWNERS = ".owner"
"""The folder of the records."""

_SHARED = "shared-"

_left_behind = set[str]()
"""Tokens of records that this process could not remove when it gave their stores back: nobody's, though it goes on."""
_NAME = re.compile(rf"{re.escape(OWNERS)}/(\d{{8}}|{_SHARED}\w+)")


@dataclass(frozen=True, kw_only=True)
class HeartbeatPace:
    """The pace of heartbeats.

    Attributes:
        beat_seconds: From one heartbeat to the next.
        stale_seconds: A process without a heartbeat for this long has ended.
    """

    beat_seconds: float = 10.0
    stale_seconds: float = 60.0


Records = Mapping[str, Record]
"""By the names of their files."""


@contextlib.contextmanager
def owning(
    storage: Storage,
    doing: str,
    *,
    shared: bool = False,
    wait: bool = False,
    pace: HeartbeatPace | None = None,
) -> Iterator["Owner"]:
    """Keep others from writing to a store while the block runs.

    Args:
        storage: The store. Nothing in it is touched while another process owns it.
        doing: The purpose, for messages: `training`, `packing`.
        shared: Keep out only processes that do not share.
        wait: Wait for processes that are at work.
        pace: The pace of heartbeats, which is the same for all processes that use a store.

    Yields:
        The owner, which can check that it still owns the store.

    Raises:
        OwnedError: Another process is at work there, and `wait` was not given.
        StorageError: The store fails.
    """
    owner = Owner(storage, this_process(doing), shared, pace or HeartbeatPace())
    owner.take(wait)
    try:
        yield owner
    finally:
        owner.give_back()


class Owner:
    """This process as the writer to a store."""

    def __init__(self, storage: Storage, record: Record, shared: bool, pace: HeartbeatPace) -> None:
        """Own nothing yet; see `take`."""
        self._storage = storage
        self._record = record
        self._shared = shared
        self._pace = pace
        self._name = f"{OWNERS}/{_SHARED}{record.token}"
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="owner", daemon=True)

    def take(self, wait: bool) -> None:
        """Become the owner. Raises as `owning`."""
        told = False
        while True:
            others = self._in_the_way()
            living = self._living(others, told)
            if living is None and self._claim(others):
                break

            if living is not None and not wait:
                raise OwnedError(
                    f"{self._storage.uri}: expected nobody else to write there, got {living}; "
                    "wait for its end or stop it, or choose another place"
                )
            if living is not None and not told:
                told = True
                log.warning("%s: waiting for the end of %s", self._storage.uri, living)
            # At random, so that several waiting processes do not claim at the same moments.
            time.sleep(random.uniform(0.1, 0.5))

        self._heart.start()

    def check(self) -> None:
        """Make sure that no other process has taken the store over, as happens when this one was away for a minute.

        Raises:
            OwnedError: Another process has.
            StorageError: The store fails.
        """
        records = self._records(lambda name: name == self._name or _is_alone(name))
        mine = records.get(self._name)
        owner = max(filter(_is_alone, records), default=self._name)
        is_there = mine is not None and mine.token == self._record.token
        if is_there and (self._shared or owner == self._name):
            return

        by = records.get(owner)
        got = "no record: another process took over, and has ended"
        if by is not None:
            got = f"{by}, which has taken over"
        raise OwnedError(
            f"{self._storage.uri}: expected still to be written to by this process, got {got}; "
            "this process ends without writing more"
        )

    def give_back(self) -> None:
        """Let others write. A record that cannot be removed goes stale; this process itself knows better."""
        self._ended.set()
        self._heart.join(self._pace.beat_seconds)
        if self._heart.is_alive():  # its store does not answer
            _left_behind.add(self._record.token)
            return

        try:
            self.check()
            self._storage.delete(self._name)
        except StorageError:
            _left_behind.add(self._record.token)

    def _in_the_way(self) -> dict[str, Record]:
        """The records of processes that must not write while this one does."""
        return self._records(_is_alone if self._shared else lambda _: True)

    def _records(self, wanted: Callable[[str], bool]) -> dict[str, Record]:
        """The records whose names are wanted: with hundreds that share, no process need read all."""
        names = filter(_NAME.fullmatch, self._storage.sizes(OWNERS))  # NFS may leave others there
        read = {name: self._read(name) for name in names if wanted(name)}
        return {name: record for name, record in read.items() if record is not None}

    def _read(self, name: str) -> Record | None:
        """A record; None where it is gone by now."""
        for last in (False, False, True):
            try:
                data = self._storage.read(name)
                break
            except StorageError:
                if self._storage.size(name) is None:
                    return None
                # It is there again: other processes come and go.
                if last:
                    raise
        return Record.from_bytes(data, where=f"{self._storage.uri}: {name}")

    def _living(self, others: Records, told: bool) -> Record | None:
        """One of the others that is at work; None if all of them have ended. Logs the wait unless `told` before."""
        unknown = dict[str, Record]()
        for name, other in others.items():
            ended = self._has_ended(other)
            if ended is False:
                return other
            if ended is None:
                unknown[name] = other

        if unknown and not told:
            first, *more = unknown.values()
            whose = f"{first} and {len(more)} others" if more else str(first)
            seconds = self._pace.stale_seconds
            log.warning(
                "%s: waits up to %g s for a sign of life of %s", self._storage.uri, seconds, whose
            )
        return self._watched(unknown) if unknown else None

    def _has_ended(self, other: Record) -> bool | None:
        """Whether another process has ended; None where only its heartbeats tell."""
        if other.token in _left_behind:
            return True
        mine = self._record
        # Slurm starts a job again when it has ended, or when it has lost its nodes.
        if other.job and other.job == mine.job and other.restart < mine.restart:
            return True
        if other.machine and other.machine == mine.machine and not is_hidden(other.pid):
            return started(other.pid) != other.started
        return None

    def _watched(self, others: Records) -> Record | None:
        """The first of the others with a heartbeat; None if there is none for `stale_seconds` by the local clock."""
        end = time.monotonic() + self._pace.stale_seconds
        while time.monotonic() < end:
            time.sleep(self._pace.beat_seconds / 4)
            now = {name: self._read(name) for name in others}
            for name, record in now.items():
                if record is not None and record != others[name]:
                    return record
            if not any(now.values()):
                break
        return None

    def _claim(self, ended: Records) -> bool:
        """Leave this process's record and delete those that have ended; False where another process was faster."""
        record = self._record.to_bytes()
        if self._shared:
            self._storage.write(self._name, record)
        else:
            numbers = [int(name.rpartition("/")[2]) for name in ended if _is_alone(name)]
            self._name = f"{OWNERS}/{max(numbers, default=0) + 1:08}"
            if not self._storage.create(self._name, record) and not self._is_mine():
                return False

        # A process that has come in between sees this record, or its own is seen here.
        there = self._in_the_way()
        expected = {self._record.token, *(record.token for record in ended.values())}
        if any(record.token not in expected for record in there.values()):
            self._storage.delete(self._name)
            return False

        for name in ended:
            self._storage.delete(name)
        return True

    def _is_mine(self) -> bool:
        """Whether the record exists after all: the store may have made it, and its answer been lost."""
        there = self._read(self._name)
        return there is not None and there.token == self._record.token

    def _beat(self) -> None:
        """Show that this process lives, until it has given the store back or lost it."""
        lost = False
        while not self._ended.wait(self._pace.beat_seconds):
            try:
                self.check()
                lost = False
                self._record = replace(self._record, beats=self._record.beats + 1)
                self._storage.write(self._name, self._record.to_bytes())
            except OwnedError as error:
                # Twice in a row: another process may take a number, see this one, and give it back.
                if lost:
                    log.warning("%s", error)
                    return
                lost = True
            except StorageError as error:
                log.warning(
                    "no heartbeat, the next one in %g s: %s", self._pace.beat_seconds, error
                )


def _is_alone(name: str) -> bool:
    return not name.startswith(f"{OWNERS}/{_SHARED}")
