"""InfiniBand and RoCE adapters, as the kernel lists them, and which of them NCCL takes."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SYSFS = Path("/sys/class/infiniband")


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """A port of an adapter.

    Attributes:
        name: Adapter and port, such as `mlx5_0:1`.
        state: The state of the link, `ACTIVE` where it works, and that of its wire, as `DOWN (Polling)`.
        gbit_per_second: Its rate; 0 where the link is not active.
    """

    name: str
    state: str
    gbit_per_second: float


def find_adapters(environment: Mapping[str, str], root: Path = SYSFS) -> tuple[Adapter, ...]:
    """List the ports that NCCL may take, whether they are up or not.

    Args:
        environment: `os.environ`, where `NCCL_IB_HCA` chooses some of them and `NCCL_IB_DISABLE` none.
        root: The kernel's folder of adapters.
    """
    if environment.get("NCCL_IB_DISABLE", "0") != "0":
        return ()

    found = []
    for port in sorted(root.glob("*/ports/*"), key=lambda port: (port.parts[-3], port.name)):
        name = f"{port.parts[-3]}:{port.name}"
        # A port that goes away while it is read, or tells what nobody knows, is none
        with suppress(OSError, ValueError, IndexError):
            if is_chosen(name, environment.get("NCCL_IB_HCA", "")):
                found.append(_read(name, port))
    return tuple(found)


def is_chosen(name: str, choice: str) -> bool:
    """Whether NCCL takes an adapter.

    Args:
        name: Adapter and port, such as `mlx5_0:1`.
        choice: The value of `NCCL_IB_HCA`: `[^][=]NAME[:PORT],...`. The names are beginnings of names, or with `=`
            whole ones; `^` takes all others.
    """
    others = choice.startswith("^")
    choice = choice.removeprefix("^")
    whole = choice.startswith("=")
    wanted = [word for word in choice.removeprefix("=").split(",") if word]
    if not wanted:
        return not others

    adapter, _, port = name.partition(":")
    for word in wanted:
        asked, *more = word.split(":")
        fits = adapter == asked if whole else adapter.startswith(asked)
        if fits and (not more or more[0] == port):
            return not others
    return others


def _read(name: str, port: Path) -> Adapter:
    """Read a port's files, which say `4: ACTIVE`, `5: LinkUp` and `400 Gb/sec (4X NDR)`."""
    state = _last_word(port / "state")
    if state != "ACTIVE":
        wire = _last_word(port / "phys_state")
        return Adapter(name=name, state=f"{state} ({wire})", gbit_per_second=0.0)

    rate = (port / "rate").read_text().split()[0]
    return Adapter(name=name, state=state, gbit_per_second=float(rate))


def _last_word(file: Path) -> str:
    return file.read_text().rpartition(":")[2].strip()
