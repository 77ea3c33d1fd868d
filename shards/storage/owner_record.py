"""The identity of a writer: host, process, Slurm job; see `shards.storage.owner`."""

import json
import os
import platform
import uuid
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.shards.errors import StorageError

_FILE_BYTES = 2048
_MAX_LETTERS = 300


@dataclass(frozen=True, kw_only=True)
class Record:
    """A writer.

    Attributes:
        doing: The purpose, such as `packing`.
        host: The machine's name.
        machine: The scope of `pid`: the boot of the kernel and its space of process ids; empty if unknown.
        pid: The process.
        started: The kernel's start time of the process, in ticks: process ids are used again.
        job: The Slurm job; empty outside Slurm.
        restart: How often Slurm has started that job again.
        since: Date and time, by that machine's clock.
        token: A random text that tells one start from all others.
        beats: Heartbeats until now.
    """

    doing: str
    host: str
    machine: str
    pid: int
    started: str
    job: str
    restart: int
    since: str
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    beats: int = 0

    def __str__(self) -> str:
        job = f", Slurm job {self.job}" if self.job else ""
        told = f"{self.doing} on {self.host} (process {self.pid}{job}) since {self.since}"
        letters = []
        for letter in told[:_MAX_LETTERS]:
            letters.append(letter if letter.isprintable() else "?")
        return "".join(letters)

    def to_bytes(self) -> bytes:
        """The file, always of the same length, so that it is whole at any moment of a write."""
        return json.dumps(asdict(self)).encode().ljust(_FILE_BYTES)

    @staticmethod
    def from_bytes(data: bytes, *, where: str) -> "Record":
        """Read the file.

        Args:
            data: What it holds.
            where: What to call it in messages.

        Raises:
            StorageError: It is something else.
        """
        try:
            return build(Record, json.loads(data), where=where)
        except (ValueError, ConfigError, RecursionError):
            raise StorageError(
                f"{where}: expected the record of a writer, got something else; "
                "remove it if nothing writes there"
            ) from None


def this_process(doing: str) -> Record:
    """A record of this process, which begins to do something."""
    restart = os.environ.get("SLURM_RESTART_COUNT", "")
    return Record(
        doing=doing,
        host=platform.node(),
        machine=_machine(),
        pid=os.getpid(),
        started=started(os.getpid()) or "",
        job=os.environ.get("SLURM_JOB_ID", ""),
        restart=int(restart) if restart.isdecimal() else 0,
        since=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
    )


def _machine() -> str:
    """The running kernel and this process's space of process ids; empty where they cannot be read."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def is_hidden(pid: int) -> bool:
    """Whether a process of that id exists that /proc hides from this one."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return started(pid) is None
    except OSError:
        return False
    return False


def started(pid: int) -> str | None:
    """The start of a process of this machine, in ticks after that of the kernel; None if it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name in parentheses may hold anything.
    state, *rest = stat.rpartition(")")[2].split()
    # Field 22 of proc(5) is the start; a zombie (Z) or dead process (X) has ended.
    return None if state in "ZX" else rest[18]
