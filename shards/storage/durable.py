"""Files that are on disk before they have their names."""

import errno
import os
from pathlib import Path
from typing import IO

_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK}
"""The errors of `link` on file systems where a file has one name only."""


def link_if_free(partial: Path, path: Path) -> bool:
    """Give a file its name unless another file has it; returns whether it was given.

    `link` is atomic on network file systems as well. If its answer is lost and the request is sent again, the second
    answer is that the name is taken: the number of the file's names tells whether it is this file's.
    """
    try:
        os.link(partial, path)
    except OSError as error:
        if error.errno in _NO_LINKS:
            return _copy_if_free(partial, path)
        if not isinstance(error, FileExistsError):
            raise
        return partial.stat().st_nlink == 2
    return True


def _copy_if_free(partial: Path, path: Path) -> bool:
    """Do the work of `link_if_free` on file systems where a file has one name only."""
    try:
        with path.open("xb") as file:
            file.write(partial.read_bytes())
            sync(file)
    except FileExistsError:
        return False
    return True


def sync(file: IO[bytes]) -> None:
    """Return when the bytes of an open file are on disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
