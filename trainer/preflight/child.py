"""Try in a child process what may crash or hang."""

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar

from surgstream.configs.errors import SurgstreamError
from surgstream.trainer.errors import PreflightError

T = TypeVar("T")

_LAST_SECONDS = 1.0


def in_child(action: Callable[[], T], seconds: float) -> T:
    """Call something in a new process, which imports what it needs; the process ends with this call.

    Args:
        action: What to call; it and its result are pickled.
        seconds: The time that it may take, its imports included.

    Returns:
        Its result.

    Raises:
        PreflightError: It raised a SurgstreamError, its process ended without a result, or it took too long. The
            message goes on after the name of what was tried.
    """
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=_tell, args=(action, sending), daemon=True)
    child.start()
    sending.close()  # so that the pipe ends with the child

    result: T
    try:
        if not receiving.poll(seconds):
            raise PreflightError(f"gave no answer within {seconds:.0f} s")
        failure, result = receiving.recv()
    except (EOFError, OSError):  # between results, or within one
        child.join(_LAST_SECONDS)
        raise PreflightError(f"ended with {_in_words(child.exitcode or 0)}") from None
    finally:
        child.kill()
        child.join(_LAST_SECONDS)  # one that waits for a driver may not even be killed
        receiving.close()

    if failure:
        raise PreflightError(f"failed: {failure}")
    return result


def _tell(action: Callable[[], object], pipe: Connection) -> None:
    try:
        pipe.send(("", action()))
    except SurgstreamError as error:
        pipe.send((str(error), None))


def _in_words(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exit status {exit_code}"
    return f"signal {-exit_code} ({signal.Signals(-exit_code).name})"
