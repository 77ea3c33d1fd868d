"""Files that are read or written whole, and errors that say which file they are about."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path


def open_regular(path: str | Path) -> BufferedReader:
    """Open a file to read its bytes, if it is a regular one: a FIFO, a socket or a device might never answer.

    Raises:
        OSError: It cannot be opened, or is of another kind.
    """
    # Without O_NONBLOCK, opening a FIFO would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            problem = f"expected a regular file, got a {kind_of(mode)}"
            raise OSError(errno.EINVAL, problem, str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_text(path: str | Path, errors: str = "strict") -> str:
    """Read a regular file of text in UTF-8, with or without the byte order mark that some editors write.

    Raises:
        OSError: See `open_regular`.
        UnicodeDecodeError: It is in another encoding.
    """
    with open_regular(path) as file:
        return file.read().decode("utf-8-sig", errors)


def write_atomically(
    path: Path, content: str | bytes, *, durable: bool = False, mode: int = 0o666
) -> None:
    """Write a file whole or not at all: write beside it, then rename.

    Args:
        path: The file, which is replaced where it exists. Its folder exists.
        content: Text is written as UTF-8.
        durable: Whether the bytes are on disk before the file has its name.
        mode: Permissions of the new file, less the umask.

    Raises:
        OSError: It could not be written; what was there before is still there.
    """
    data = content.encode() if isinstance(content, str) else content
    # Processes of one run may write the same file, on several nodes.
    partial = path.with_name(f".{path.name}.{os.uname().nodename}-{os.getpid()}.partial")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL

    partial.unlink(missing_ok=True)
    try:
        with naming(path), open(os.open(partial, flags, mode), "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Let an OSError in its block, which a write alone raises without a name, say which file it is about."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def kind_of(mode: int) -> str:
    """The kind of a file that is neither regular nor a folder, in a word."""
    kinds = {stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(mode), "device")
