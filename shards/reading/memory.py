"""The memory for the chunks that an order keeps open: how much it is, and whether a rank has it."""

from surgstream.configs.errors import ConfigError
from surgstream.shards.order.sequence import Order
from surgstream.shards.reading.locations import ClipTable

_GIB = 2**30
_MIB = 2**20


def open_chunk_bytes(table: ClipTable, order: Order, look_back: int, world_size: int) -> float:
    """The bytes of open chunks on each rank, as the mean frame of each dataset has them.

    Args:
        table: The corpus.
        order: Which clip is drawn when; it decides how many chunks are open.
        look_back: Frames from a clip's first one to its anchor, which are read before a chunk.
        world_size: The ranks, which share the chunks.
    """
    num_bytes = 0.0
    for report in order.report():
        a_chunk = table.chunk_bytes(report.name, report.chunk_clips, look_back)
        num_bytes += report.lanes * a_chunk
    return num_bytes / world_size


def buffer_problem(
    table: ClipTable, order: Order, look_back: int, *, buffer_bytes: int, world_size: int
) -> str | None:
    """Say that a rank's buffer does not hold its open chunks, and what to set; None where it does.

    Args:
        table: The corpus.
        order: Which clip is drawn when.
        look_back: Frames from a clip's first one to its anchor.
        buffer_bytes: The buffer, `read.buffer_bytes`.
        world_size: The ranks.
    """
    needed = open_chunk_bytes(table, order, look_back, world_size)
    if needed <= buffer_bytes:
        return None

    unit = _GIB if needed > _GIB else _MIB
    enough = unit * (int(needed / unit) + 1)
    return (
        f"read.buffer_bytes: the order keeps {order.num_lanes} chunks open, about "
        f"{needed / 1e6:.1f} MB on each of {world_size} ranks; expected at least that, got "
        f"{buffer_bytes / 1e6:.1f} MB; set data.read.buffer_bytes={enough}, or train on more ranks, "
        "or start the run with fewer or smaller chunks (order.open_chunks, order.chunk_frames)"
    )


def check_buffer(
    table: ClipTable, order: Order, look_back: int, *, buffer_bytes: int, world_size: int
) -> None:
    """Make sure that a rank's buffer holds its open chunks; see `buffer_problem`.

    Raises:
        ConfigError: It does not.
    """
    problem = buffer_problem(
        table, order, look_back, buffer_bytes=buffer_bytes, world_size=world_size
    )
    if problem:
        raise ConfigError(problem)
