"""What a rank notes of signals, also while it waits in a library."""

import ctypes
import os
import signal
import sys
import threading
import time

import pytest

from surgstream.trainer.engine.preemption.flags import SignalFlag, StopFlag
from tests.helpers.ranks import finish, start_ranks

pytestmark = pytest.mark.slow


def read_while_told() -> None:
    """A library waits for a byte; a signal comes, and then the byte."""
    flag, (reader, writer) = SignalFlag(signal.SIGUSR1), os.pipe()

    def tell() -> None:
        time.sleep(0.2)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        time.sleep(0.2)
        os.write(writer, b"x")

    threading.Thread(target=tell).start()
    num_read = ctypes.CDLL(None).read(reader, ctypes.create_string_buffer(1), 1)
    sys.exit((num_read, flag.take(), flag.take()) != (1, signal.SIGUSR1, 0))


def wait_in_a_library(_: str) -> None:
    """Be interrupted twice while no handler can run."""
    StopFlag(None, speaks=True)
    reader, _writer = os.pipe()

    def interrupt() -> None:
        for _ in range(2):
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    ctypes.CDLL(None).read(reader, ctypes.create_string_buffer(1), 1)


def test_who_interrupts_twice_ends_what_waits_in_a_library_at_once() -> None:
    assert finish(start_ranks(wait_in_a_library, 1, ("",))) == [130]


def test_what_a_library_reads_is_not_interrupted() -> None:
    assert finish(start_ranks(read_while_told, 1, ())) == [0]
