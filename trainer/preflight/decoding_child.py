"""Decode in a child process, which may crash or hang, and compare its pixels with those that should come."""

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np
import numpy.typing as npt

from surgstream.trainer.batch import IMAGENET_STD
from surgstream.trainer.errors import DecodeError

FRAME_LEVELS = 1.5
"""The most grey levels of 255 that a frame may differ by on average. Rounding costs half a level, and so does the edge,
where the GPU's filter sees what lies beyond the window."""

FAR_LEVELS = 16.0
FAR_SHARE = 0.02
"""The most values of a frame that may be further off than that: its edge is 1.8 % of a picture of 224 pixels. A band of
blocks from another picture is more, though it may be little on average."""

Pixels = npt.NDArray[np.float32]


def child_problem(decode: Callable[[], Pixels], expected: Pixels, seconds: float) -> str:
    """Decode in a child process, which may crash or hang, and compare.

    Args:
        decode: What the child calls.
        expected: The pixels that should come, (B, C, T, H, W).
        seconds: The time until they must have come.

    Returns:
        What is wrong: the beginning of a sentence, or nothing.
    """
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=_tell, args=(decode, sending), name="try-gpu", daemon=True)
    child.start()
    sending.close()  # so that the pipe ends with the child

    try:
        if not receiving.poll(seconds):
            return f"GPU decoding gave no pixels within {seconds:.0f} s"
        found = receiving.recv()
    except EOFError:
        child.join()
        return f"GPU decoding ended with {_in_words(child.exitcode or 0)}"
    finally:
        child.kill()
        child.join()
        receiving.close()

    return found if isinstance(found, str) else difference(found, expected)


def difference(found: Pixels, expected: Pixels) -> str:
    """In how far normalised clips (B, C, T, H, W) are not the expected ones; nothing where they are near enough."""
    if found.shape != expected.shape:
        return f"GPU decoding gave clips of shape {found.shape}, expected {expected.shape}"

    levels_of_channels = 255 * np.array(IMAGENET_STD, np.float32).reshape(1, 3, 1, 1, 1)
    levels = np.abs(found - expected) * levels_of_channels
    mean = levels.mean(axis=(1, 3, 4)).max()
    far = (levels > FAR_LEVELS).mean(axis=(1, 3, 4)).max()
    if mean <= FRAME_LEVELS and far <= FAR_SHARE:
        return ""
    return (
        f"GPU decoding gave other pixels than the CPU's: a frame is {mean:.1f} grey levels off "
        f"(expected at most {FRAME_LEVELS:g}), {far:.1%} of its values by more than "
        f"{FAR_LEVELS:g} (expected at most {FAR_SHARE:.0%})"
    )


def _tell(decode: Callable[[], Pixels], pipe: Connection) -> None:
    try:
        pipe.send(decode())
    except DecodeError as error:
        pipe.send(f"GPU decoding failed: {error}")


def _in_words(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exit status {exit_code}"
    return f"signal {-exit_code} ({signal.Signals(-exit_code).name})"
