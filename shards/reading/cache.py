"""The cache: whole chunks on a node's own disk, shared by the ranks of the node and by runs.

It fills and then keeps. Every epoch reads the chunks in a new order, so what was used last says nothing about what is
used next: keeping any quarter of the corpus hits a quarter of the time, keeping the latest quarter hardly ever.

A chunk is a file `CORPUS/SHARD.START-STOP`, its index rows and then its bytes, written under a temporary name and
renamed. Nothing is flushed to the disk, since readers check every frame. How many bytes all files have together stands
in a ledger, which is locked for each change of the files. It is written before a chunk is and after one is removed, so
a process that is killed leaves it too high at worst, and the next one that opens the cache counts again.
"""

import contextlib
import fcntl
import logging
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from surgstream.configs.errors import ConfigError
from surgstream.shards.format.index import ROW, Rows
from surgstream.shards.reading.buffers import Bytes, new_buffer
from surgstream.shards.reading.locations import RowRange

log = logging.getLogger(__name__)

LEDGER_NAME = "surgstream-cache.bytes"

_CHUNK = re.compile(r"[0-9a-f]{64}/[A-Za-z0-9_-]+\.[0-9]+-[0-9]+(?P<partial>\.partial)?")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_LOCK_SECONDS = 10.0


class ChunkCache:
    """Chunks of one corpus in a folder that holds those of others as well; safe to use from threads and processes.

    Once it is open it raises nothing: when the disk fails or is full, it caches no more chunks and logs one warning.
    """

    def __init__(self, folder: Path, most_bytes: int, corpus: str) -> None:
        """Make the folder where there is none, remove what killed writers left, and count what is there.

        Args:
            folder: The folder with the chunks of all corpora.
            most_bytes: The most bytes that all of them may take.
            corpus: SHA-256 of the manifest, in hexadecimal.

        Raises:
            ConfigError: The folder is not this user's alone to write to, or cannot be made.
        """
        self._root = folder
        self._most_bytes = most_bytes
        self._folder = folder / corpus
        self._keeps = True
        self._keeps_lock = threading.Lock()

        try:
            for path in (folder, self._folder):
                _make_private(path)
            with self._locked() as ledger:
                used = self._count()
                ledger.write(used)
            log.info("cache %s: %.1f of %.1f GB are in use", folder, used / 1e9, most_bytes / 1e9)
        except OSError as error:
            self._give_up(error)

    def read(self, rows: RowRange, hold: Callable[[Bytes], None]) -> tuple[Rows, Bytes] | None:
        """The cached bytes of some rows; the caller checks them.

        Args:
            rows: The rows.
            hold: Called with the buffer before it is filled.

        Returns:
            Index rows, dtype `ROW`, shape (stop - start,), and the shard's bytes from the first frame to the end of the
            last one, (num_bytes,); None when they are not there. A file that is cut short gives zeros or fewer bytes.
        """
        try:
            with self._path(rows).open("rb") as file:
                index = np.zeros(rows.stop - rows.start, ROW)
                num_bytes = os.fstat(file.fileno()).st_size - file.readinto(index.data)
                # No run is longer than its shard, whatever became of the file.
                data = new_buffer(min(num_bytes, rows.shard_bytes))
                hold(data)
                return index, data[: file.readinto(data.data)]
        except OSError:
            return None

    def keep(self, rows: RowRange, index: Rows, data: Bytes) -> None:
        """Cache what `read` is to return, unless there is no room or another writer has it or is about to have it."""
        if not self._keeps:
            return

        path = self._path(rows)
        size = index.nbytes + data.nbytes
        partial = path.with_name(f"{path.name}.partial")
        try:
            with contextlib.ExitStack() as opened:
                with self._locked() as ledger:
                    used = ledger.read() + size
                    if used > self._most_bytes or path.exists() or partial.exists():
                        return
                    ledger.write(used)
                    descriptor = os.open(partial, _NEW, 0o600)
                    file = opened.enter_context(open(descriptor, "wb"))
                    opened.enter_context(_removed_when_it_fails(partial))
                    # The lock shows that the writer lives; the size, that the file counts in full.
                    fcntl.flock(file, fcntl.LOCK_EX)
                    file.truncate(size)

                # The ledger is not locked while the chunk is written: that may take long.
                file.write(index.data)
                file.write(data.data)
                file.flush()
                # Locked, so that `_count` finds it under one name only.
                with self._locked():
                    partial.replace(path)
        except OSError as error:
            self._give_up(error)

    def drop(self, rows: RowRange) -> None:
        """Forget a chunk that is damaged."""
        path = self._path(rows)
        try:
            with self._locked() as ledger:
                size = path.stat().st_size
                path.unlink()
                ledger.write(ledger.read() - size)
        except FileNotFoundError:  # another rank was faster
            pass
        except OSError as error:
            self._give_up(error)

    def _path(self, rows: RowRange) -> Path:
        return self._folder / f"{PurePosixPath(rows.shard).stem}.{rows.start}-{rows.stop}"

    @contextlib.contextmanager
    def _locked(self) -> Iterator["_Ledger"]:
        """Keep all others from changing ledger and files."""
        descriptor = os.open(self._root / LEDGER_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(descriptor)
            yield _Ledger(descriptor)
        finally:
            os.close(descriptor)

    def _count(self) -> int:
        """Bytes of all chunks, after removing those whose writers are dead. Other files are not looked at."""
        used = 0
        for path in self._root.glob("*/*"):
            match = _CHUNK.fullmatch(path.relative_to(self._root).as_posix())
            if match and match["partial"] and _is_abandoned(path):
                path.unlink()
            elif match:
                used += path.stat().st_size
        return used

    def _give_up(self, error: OSError) -> None:
        """Cache no more, and let the ledger say that all is in use: so no rank does, and only the first one warns."""
        with self._keeps_lock:
            if not self._keeps:
                return
            self._keeps = False

        # Where the ledger fails as well, every rank warns.
        is_first = True
        with contextlib.suppress(OSError), self._locked() as ledger:
            used = ledger.read()
            is_first = used < self._most_bytes
            ledger.write(max(used, self._most_bytes))

        if is_first:
            log.warning(
                "cache %s: %s; training continues with what is cached; nothing new is cached",
                self._root,
                error.strerror or error,
            )


@dataclass(frozen=True)
class _Ledger:
    """The ledger's file, which holds one number and is locked by its holder."""

    descriptor: int

    def read(self) -> int:
        try:
            return int(os.pread(self.descriptor, 20, 0))
        except ValueError:
            raise OSError(f"{LEDGER_NAME} was removed or altered") from None

    def write(self, used: int) -> None:
        os.pwrite(self.descriptor, b"%020d" % used, 0)


def _lock(descriptor: int) -> None:
    """Lock a file; others have it for moments, unless their job was suspended in one."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"another process has locked it for {_LOCK_SECONDS:.0f} s"
                ) from None
            time.sleep(0.001)


@contextlib.contextmanager
def _removed_when_it_fails(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _is_abandoned(partial: Path) -> bool:
    with partial.open("r+b") as file:
        # The writer's lock, which the system takes back when the writer dies.
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _make_private(folder: Path) -> None:
    """Make a folder, or check that no other user could have put anything into it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise ConfigError(
            f"cache_dir: {folder}: expected a folder to make or to use: {error.strerror}; "
            "name another one"
        ) from None

    # Of the folder, not of the target of a link: the owner of a link can change its target.
    status = folder.lstat()
    if stat.S_ISLNK(status.st_mode):
        got = "a symbolic link"
    elif status.st_uid != os.geteuid():
        got = f"one of user {status.st_uid}"
    elif status.st_mode & 0o022:
        got = f"mode {stat.S_IMODE(status.st_mode):o}"
    else:
        return

    raise ConfigError(
        f"cache_dir: {folder}: expected a folder of your own that nobody else may write to, "
        f"got {got}; name one that does not exist yet"
    )
