"""The configuration of reading."""

from dataclasses import dataclass
from typing import Annotated

from surgstream.configs.ranges import Range


@dataclass(frozen=True, kw_only=True)
class ReadConfig:
    """The reading of shards by a rank; it does not change which clips the rank gets.

    Attributes:
        threads: Requests in flight.
        prefetch_steps: Steps whose chunks are read ahead.
        range_bytes: The most bytes of one request.
        buffer_bytes: Memory for chunks. Reading ahead waits while more is in use; the chunks that the order keeps open
            must fit in any case.
        plan_ahead: Plan a step, every rank's draws included, on a thread of its own while clips of the one before are
            cut.
    """

    threads: Annotated[int, Range(1, 1024)] = 8
    prefetch_steps: Annotated[int, Range(0, 10**4)] = 32
    range_bytes: Annotated[int, Range(1, 2**30)] = 8 * 2**20
    buffer_bytes: Annotated[int, Range(1, 2**44)] = 4 * 2**30
    plan_ahead: bool = False
