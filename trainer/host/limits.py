"""Limits of this process that it may raise itself."""

import resource
from contextlib import suppress


def raise_file_limit() -> None:
    """Allow as many open files and sockets as the hard limit does; the soft one is often a login shell's 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # some sandboxes forbid it; preflight judges what there is
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
