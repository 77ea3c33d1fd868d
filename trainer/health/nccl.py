"""The ways that NCCL takes between GPUs, from what it says itself: no function of it tells."""

import os
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

# As NCCL 2.18 to 2.30 write them; a network plugin's name may have spaces.
_VERSION = re.compile(r"NCCL version (\S+)")
_NETWORK = re.compile(r"NCCL INFO Using network (.+)")
_ADAPTERS = re.compile(r"NCCL INFO NET/IB : Using (\[\d+\].*?) *(\[RO\])?; OOB")
_ADAPTER = re.compile(r"\[\d+\]([^:\s]+:\d+)\S*/(IB|RoCE)")
_CHANNEL = re.compile(r"NCCL INFO Channel \S+ : \d+\[\w+\] -> \d+\[\w+\] (?:\[send\] )?via (.+)")


@dataclass(frozen=True, kw_only=True)
class Transport:
    """How NCCL connects a rank.

    Attributes:
        version: NCCL's.
        network: What it goes over between nodes: `IB`, also for RoCE, `Socket`, or the name of a plugin.
        adapters: The ports that it takes, as `mlx5_0:1`.
        gpu_direct: Whether adapters read and write the memory of GPUs, past the host's; None where no other node is.
        inside: The ways to other GPUs of the node, as `P2P/CUMEM` or, through the host's memory, `SHM/direct`.
    """

    version: str = ""
    network: str = ""
    adapters: tuple[str, ...] = ()
    gpu_direct: bool | None = None
    inside: tuple[str, ...] = ()


@contextmanager
def nccl_tells(environment: MutableMapping[str, str]) -> Iterator[None]:
    """Let NCCL write how it connects ranks into a file in memory, where `transport_of_rank` finds it.

    A process can do so once, before it uses NCCL, whose warnings go there too: they are printed after the block. Who
    has set `NCCL_DEBUG_FILE`, or `NCCL_DEBUG` to more than warnings, keeps what they have.

    Args:
        environment: `os.environ`.
    """
    if "NCCL_DEBUG_FILE" in environment or environment.get("NCCL_DEBUG") in ("INFO", "TRACE"):
        yield
        return

    file = os.memfd_create("nccl")  # is there as long as this process
    environment.update(
        NCCL_DEBUG="INFO",
        NCCL_DEBUG_SUBSYS="INIT,NET",
        NCCL_DEBUG_FILE=f"/proc/{os.getpid()}/fd/{file}",
    )
    try:
        yield
    finally:
        for line in _told(environment).splitlines():
            if " NCCL WARN " in line:
                sys.stderr.write(f"{line}\n")


def transport_of_rank(environment: Mapping[str, str]) -> Transport | None:
    """How NCCL has connected this rank so far; None where it does not tell into a file."""
    return read_transport(_told(environment))


def _told(environment: Mapping[str, str]) -> str:
    with suppress(OSError):
        return Path(environment.get("NCCL_DEBUG_FILE", "")).read_text(errors="replace")
    return ""


def read_transport(text: str) -> Transport | None:
    """Read what NCCL writes with `NCCL_DEBUG=INFO`; None where there is nothing of it.

    Args:
        text: The lines of one rank.
    """
    version = _VERSION.search(text)
    network = _NETWORK.search(text)
    if not network:
        return None

    adapters = _ADAPTERS.search(text)
    ports = [found[1] for found in _ADAPTER.finditer(adapters[1])] if adapters else []
    ways = dict.fromkeys(found[1] for found in _CHANNEL.finditer(text))
    between = [way for way in ways if way.startswith("NET/")]
    inside = [_kind(way) for way in ways if not way.startswith("NET/")]

    return Transport(
        version=version[1] if version else "",
        network=network[1].strip(),
        adapters=tuple(ports),
        gpu_direct=all("/GDRDMA" in way for way in between) if between else None,
        inside=tuple(dict.fromkeys(inside)),
    )


def _kind(way: str) -> str:
    """`P2P/CUMEM` of `P2P/CUMEM/read`."""
    return "/".join(way.split("/")[:2])
