"""The line that starts torchrun, on one node or on each of many."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import NoReturn

from surgstream.launch.errors import LaunchError

_SECONDS_TO_SAVE = "300"  # torchrun's own is 30
_WITHOUT_GPUS = "mend the driver, or set CUDA_VISIBLE_DEVICES= to train on the CPU"


def torchrun_line(
    words: Sequence[str],
    *,
    num_nodes: int,
    ranks_per_node: int,
    gpus_per_node: int,
    endpoint: str | None,
    run_id: str = "surgstream",
) -> list[str]:
    """The command that runs `surgstream WORDS` on every rank.

    Args:
        words: Subcommand and arguments.
        num_nodes: Nodes; the line is started on each.
        ranks_per_node: Processes a node.
        gpus_per_node: GPUs that a node must show; 0 trains on CPUs.
        endpoint: HOST:PORT where the nodes meet, HOST being one of them; None for one node alone.
        run_id: Tells runs apart that meet at one place.
    """
    meeting = ["--standalone"]
    if endpoint:
        meeting = ["--rdzv-backend=c10d", f"--rdzv-endpoint={endpoint}", f"--rdzv-id={run_id}"]
    return [
        # What lies in the working folder is not ours, whatever it is called
        *("env", "PYTHONSAFEPATH=1", f"SURGSTREAM_GPUS_PER_NODE={gpus_per_node}"),
        *(sys.executable, "-m", "torch.distributed.run"),
        *meeting,
        f"--nnodes={num_nodes}",
        f"--nproc-per-node={ranks_per_node}",
        "--max-restarts=0",
        *("-m", "surgstream"),
        *words,
    ]


def become(command: Sequence[str]) -> NoReturn:
    """Replace this process by torchrun.

    It ignores the signals that are meant for its workers, which would end it. When it is interrupted itself, it gives
    them the time to save.

    Raises:
        LaunchError: There is no torch.
    """
    if importlib.util.find_spec("torch") is None:
        raise LaunchError(
            f"torchrun: not found next to {sys.executable}; start surgstream from the environment "
            "that torch is in"
        )

    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", _SECONDS_TO_SAVE)
    os.execvp(command[0], list(command))


def num_gpus() -> int:
    """GPUs of this node that a process may use, as the driver's own tool lists them; 0 where there is none.

    Raises:
        LaunchError: The tool is there and fails, as with a broken driver: to train on the CPU is not what is meant.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible == "":
        return 0

    command = ["nvidia-smi", "--list-gpus"]
    try:
        listing = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except OSError:
        return 0
    except subprocess.TimeoutExpired:
        raise LaunchError(f"nvidia-smi: no answer within 30 s; {_WITHOUT_GPUS}") from None

    if listing.returncode:
        said = " ".join((listing.stderr or listing.stdout).split())
        raise LaunchError(f"nvidia-smi: {said or 'failed without a word'}; {_WITHOUT_GPUS}")
    return num_visible(listing.stdout, visible)


def num_visible(listing: str, visible: str | None) -> int:
    """The number of GPUs that CUDA shows to a process.

    Args:
        listing: The output of `nvidia-smi --list-gpus`.
        visible: `CUDA_VISIBLE_DEVICES`: indices, or beginnings of UUIDs; None shows all. What follows an entry that
            means no device is invisible, and an entry that comes twice hides all. Of MIG devices a process has one.
    """
    gpus = re.findall(r"^GPU \d+:.*\(UUID: (GPU-\S+)\)", listing, re.MULTILINE)
    if visible is None:
        return len(gpus)

    migs = re.findall(r"^ +MIG .*\(UUID: (MIG-\S+)\)", listing, re.MULTILINE)
    found = list[str]()
    for entry in map(str.strip, visible.split(",")):
        device = _device(entry, gpus, migs)
        if device is None:
            break
        if device in found:
            return 0
        found.append(device)
        if device in migs:
            break
    return len(found)


def _device(entry: str, gpus: Sequence[str], migs: Sequence[str]) -> str | None:
    """The UUID of the device that an entry of `CUDA_VISIBLE_DEVICES` means, if it means one."""
    if entry.isascii() and entry.isdecimal():
        return gpus[int(entry)] if int(entry) < len(gpus) else None
    if not entry.startswith(("GPU-", "MIG-")):
        return None
    matching = [uuid for uuid in (*gpus, *migs) if uuid.startswith(entry)]
    return matching[0] if len(matching) == 1 else None
