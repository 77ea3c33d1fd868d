"""Counters of what reading costs."""

import threading
import weakref
from collections import deque
from dataclasses import dataclass, field

from surgstream.shards.reading.buffers import Bytes


@dataclass
class ReadCounters:
    """The cost of reading so far, for metrics; safe to add to from many threads.

    Attributes:
        bytes_read: Bytes of indexes and shards, from the store.
        requests: Range reads of the store.
        chunks_read: Chunks, single clips included.
        bytes_used: Bytes of the frames of all clips; a frame that several clips show counts for each of them.
        asked_bytes: Estimated bytes of chunks that are asked for and have not come yet.
        read_again: Reads of runs of frames that were repeated because a checksum was wrong.
        open_chunks: Chunks held for clips to come, as of the last planned step.
        cache_hits: Runs of frames that the cache had.
        cache_misses: Runs of frames that it did not have.
        cache_bytes: Bytes of indexes and shards, from the cache.
        cache_damaged: Files of the cache that were dropped because a checksum was wrong.
        wait_seconds: Time the consumer waited for bytes.
    """

    bytes_read: int = 0
    requests: int = 0
    chunks_read: int = 0
    bytes_used: int = 0
    asked_bytes: int = 0
    read_again: int = 0
    open_chunks: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    cache_bytes: int = 0
    cache_damaged: int = 0
    wait_seconds: float = 0.0
    _held_bytes: int = field(default=0, repr=False)
    _freed_bytes: deque[int] = field(default_factory=deque, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def buffer_bytes(self) -> int:
        """Bytes of chunks in memory now, those of clips that still wait to be decoded included."""
        with self._lock:
            # Appended to without the lock, see `hold`.
            while self._freed_bytes:
                self._held_bytes -= self._freed_bytes.popleft()
            return self._held_bytes

    def add(self, **amounts: int) -> None:
        """Add to counters, by name; safe from many threads."""
        with self._lock:
            for name, amount in amounts.items():
                setattr(self, name, getattr(self, name) + amount)

    def hold(self, buffer: Bytes) -> None:
        """Count a buffer until it is freed."""
        self.add(_held_bytes=buffer.nbytes)
        # Garbage may be collected at any moment, even within `add`: the callback must not wait for its lock.
        freed = weakref.finalize(buffer, self._freed_bytes.append, buffer.nbytes)
        freed.atexit = False
