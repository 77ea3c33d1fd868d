"""The step after which all ranks stop, or save: they agree on it without waiting for each other."""

import itertools
import os
import threading
from datetime import timedelta

from torch.distributed import Store, TCPStore  # type: ignore[attr-defined]

from surgstream.trainer.distributed import RankInfo, all_gather, from_main
from surgstream.trainer.engine.preemption.flags import SignalFlag, cause_of
from surgstream.trainer.errors import DistributedError
from surgstream.trainer.host.interface import own_address

_POLL_SECONDS_PER_RANK = 0.001
_MIN_POLL_SECONDS = 0.02
_MAX_POLL_SECONDS = 1.0

HELD_POLLS = 4
"""How often a rank polls, in the time of one poll, while it holds its training."""

_CONNECT_SECONDS = 60.0
_CLOSE_SECONDS = 2.0
_SAVE = 0
"""The reason of a wish to save; others are reasons to stop."""


def open_store(rank_info: RankInfo, timeout_seconds: float) -> Store:
    """Open a store of keys that rank 0 serves, so that it outlives a launcher that is killed; collective.

    Args:
        rank_info: This process's place; it has joined the others.
        timeout_seconds: The longest that the store may take to answer.

    Raises:
        DistributedError: Rank 0 cannot be reached.
    """
    timeout = timedelta(seconds=timeout_seconds)
    connecting = timedelta(seconds=min(timeout_seconds, _CONNECT_SECONDS))
    server: Store | None = None
    port = 0
    if rank_info.is_main:
        # Port 0 is any that is free.
        server = TCPStore("localhost", 0, is_master=True, wait_for_workers=False, timeout=timeout)
        port = server.port

    host, port = from_main(lambda: (_address_of_main(), port))
    if server is not None:
        return server
    try:
        store = TCPStore(host, port, is_master=False, wait_for_workers=False, timeout=connecting)
    except RuntimeError as error:
        raise DistributedError(
            f"rank {rank_info.rank}: could not reach rank 0 at {host}:{port} ({error}); "
            "is there a firewall between the nodes?"
        ) from None
    store.set_timeout(timeout)
    return store


def _address_of_main() -> str:
    """The address of this host, rank 0's, on the way to where the ranks met."""
    met_at = os.environ["MASTER_ADDR"]
    own = own_address(met_at)

    # They met here, under a name that means this host to itself alone by a loopback address.
    if own is None or own == "::1" or own.startswith("127."):
        return met_at
    return own


def poll_seconds(world_size: int) -> float:
    """The time from one look of a rank into the store to the next: rank 0 answers some thousand a second."""
    return min(max(_POLL_SECONDS_PER_RANK * world_size, _MIN_POLL_SECONDS), _MAX_POLL_SECONDS)


class StopConsensus:
    """Tells all ranks after the same step that any of them was asked to stop, and when it is time to save.

    Steps ask by calling `stopping`, which all ranks do equally often; the calls are numbered. A thread of each rank
    looks into a store of keys now and then, and a call reads what the thread has found: no step waits for another
    rank, nor for the store. Wishes are granted in rounds:

    1. Who is asked to stop, or finds that it is time to save, writes a wish. The first of a round counts.
    2. A rank whose thread finds the wish makes no further call until the round is over, and its thread writes how
       many calls it has made.
    3. When all have, rank 0 grants the wish at the call after the largest of these numbers, and each thread notes it.

    So no rank has made that call when it learns of it, and all make it. Nobody waits for ever: threads wait for
    threads alone, so a rank that is held while others need it for their step is let go by them. For that, threads
    must live until no rank can be held: after the last call all ranks meet, in a save, before one closes.

    A round lasts a few polls. With 512 ranks a poll is half a second, and an answer comes at the first call after two
    seconds at most, however long steps take.

    Attributes:
        saving: Whether all ranks are to save, from the call at which they are until `ask_all`; the same on all ranks.
    """

    def __init__(self, stop: SignalFlag, store: Store, rank_info: RankInfo) -> None:
        """Begin to look.

        Args:
            stop: This rank's flag.
            store: Where the ranks agree; all see the same keys, and none is there yet.
            rank_info: This rank's place.
        """
        self._stop = stop
        self._store = store
        self._rank_info = rank_info
        self._poll_seconds = poll_seconds(rank_info.world_size)

        # Shared with the thread, and guarded by the condition.
        self._changed = threading.Condition()
        self._calls = 0
        self._held = False
        self._late = False
        self._save_call = 0
        self._stop_call: int | None = None
        self._reason = (0, 0)
        self._lost: RuntimeError | None = None
        self.saving = False

        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._agree, name="agreement", daemon=True)
        self._thread.start()

    @property
    def cause(self) -> tuple[str, int]:
        """The signal or other reason, and the rank that it came to; of several the same one on every rank."""
        number, rank = self._reason
        return cause_of(number), rank

    def stopping(self, *, save: bool = False) -> bool:
        """Whether all ranks stop now; all ranks call this equally often.

        Args:
            save: Whether this rank finds that it is time to save, which makes all ranks `saving` at a later call.

        Raises:
            DistributedError: Rank 0 is gone.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._lost)
            if self._lost:
                raise DistributedError(
                    f"rank {self._rank_info.rank}: rank 0 has ended ({self._lost}); "
                    "its own message, or its stacks in the run directory, say why"
                )

            self._calls += 1
            # Stays so until it is done: periodic tasks call as well, and do not save.
            self.saving = self.saving or self._calls == self._save_call
            # Neither again before the save that is granted, nor at it.
            self._late = save and not self.saving and self._calls > self._save_call
            return self._stop_call is not None and self._calls >= self._stop_call

    def ask_all(self) -> None:
        """Let the next call know what came to any rank before, after a save; collective, and waits for all ranks."""
        self.saving = False
        reasons = all_gather(self._stop.reason())
        number, rank = max((number, rank) for rank, number in enumerate(reasons))
        if number:
            with self._changed:
                self._stop_call = self._calls + 1
                self._reason = (number, rank)

    def close(self) -> None:
        """Look no more."""
        self._closed.set()
        # Not for ever, should rank 0 be frozen.
        self._thread.join(_CLOSE_SECONDS)

    def _agree(self) -> None:
        """Take part in rounds until a stop is granted."""
        try:
            for number in itertools.count():
                wish = self._find_wish(f"{number}/wish")
                call = self._find_call(number) if wish else None
                if wish is None or call is None:
                    return

                self._grant(wish, call)
                if wish[0] != _SAVE:
                    return
        except RuntimeError as error:
            with self._changed:
                self._lost = error
                self._changed.notify_all()

    def _find_wish(self, key: str) -> tuple[int, int] | None:
        """Poll until there is a wish, of this rank or another: a reason and a rank; None once closed."""
        # One rank after another, also after a round, which brings them together.
        pause = self._poll_seconds * (self._rank_info.rank + 1) / self._rank_info.world_size
        while not self._closed.wait(pause):
            pause = self._poll_seconds
            reason = self._stop.reason()
            if reason or self._late:
                wish = f"{reason or _SAVE} {self._rank_info.rank}"
                self._store.compare_set(key, "", wish)

            if self._store.check([key]):
                number, rank = self._store.get(key).split()
                return int(number), int(rank)
        return None

    def _find_call(self, number: int) -> int | None:
        """Hold this rank's calls, say how many there were, and wait for the call that is granted; None once closed."""
        with self._changed:
            self._held = True
            num_calls = self._calls
        self._store.set(f"{number}/calls/{self._rank_info.rank}", str(num_calls))

        granted = f"{number}/granted"
        if self._rank_info.is_main:
            names = [f"{number}/calls/{rank}" for rank in range(self._rank_info.world_size)]
            if not self._there(names):
                return None
            most_calls = max(map(int, self._store.multi_get(names)))
            self._store.set(granted, str(most_calls + 1))

        return int(self._store.get(granted)) if self._there([granted]) else None

    def _there(self, keys: list[str]) -> bool:
        """Poll until all keys are there; false once closed."""
        # Polling, since the store's own `wait` can be ended by nobody.
        while not self._store.check(keys):
            if self._closed.wait(self._poll_seconds / HELD_POLLS):
                return False
        return True

    def _grant(self, wish: tuple[int, int], call: int) -> None:
        """Note the call at which all ranks save or stop, and let this rank go on."""
        with self._changed:
            if wish[0] == _SAVE:
                self._save_call = call
                self._late = False
            elif self._stop_call is None:  # `ask_all` may have been earlier, on every rank
                self._stop_call = call
                self._reason = wish
            self._held = False
            self._changed.notify_all()
