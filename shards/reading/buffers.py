"""Memory for chunks: pages of their own, which go back to the system when a chunk is freed.

`malloc` takes buffers of a few megabytes from its arenas, one a thread, and keeps the holes between them: a rank that
has read for half an hour holds a fifth more than one that has read for three minutes, and a third more than its chunks.
Pages are taken all at once: one by one, as they are first written to, takes twice the time.
"""

import mmap

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

_PAGES = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE


def new_buffer(num_bytes: int) -> Bytes:
    """A buffer of zeros, (num_bytes,)."""
    pages = mmap.mmap(-1, max(num_bytes, 1), flags=_PAGES)
    return np.frombuffer(pages, np.uint8, count=num_bytes)
