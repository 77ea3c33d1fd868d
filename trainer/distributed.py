"""The place of a process in a run, whether it was started alone, by torchrun or by srun; and collectives."""

import logging
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist

from surgstream.configs.errors import SurgstreamError
from surgstream.trainer.errors import DistributedError

log = logging.getLogger(__name__)

T = TypeVar("T")

_FIRST_WORD_SECONDS = 1.0
_SIZES_BY_MPI = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
_LOST_PEER = re.compile(
    "onnection (closed|reset) by (remote )?peer|remote process exit", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class RankInfo:
    """This process's place in the run.

    Attributes:
        rank: Its number among all processes.
        local_rank: Its number among those of its node.
        world_size: How many processes there are.
        master_addr: The host of rank 0.
        master_port: The port that rank 0 listens on.
        gpu_decodes: Whether preflight has seen a GPU of each node decode JPEGs as CPUs do.
    """

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1
    master_addr: str = "127.0.0.1"
    master_port: int = 0
    gpu_decodes: bool = False

    @property
    def device(self) -> torch.device:
        """The device of this process: its own GPU where there are GPUs, else the CPU."""
        if not torch.cuda.is_available():
            return torch.device("cpu")

        # A GPU that is the only one visible is this rank's own, as under `srun --gpus-per-task=1`.
        if torch.cuda.device_count() == 1:
            return torch.device("cuda", 0)
        return torch.device("cuda", self.local_rank)

    @property
    def device_name(self) -> str:
        """What the device is, as its maker calls it."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return platform.processor() or platform.machine()

    @property
    def is_main(self) -> bool:
        """Whether this process, rank 0, writes the run's reports."""
        return self.rank == 0


def check_own_number(rank_info: RankInfo) -> None:
    """Make sure that there is a GPU of this rank's number.

    Raises:
        DistributedError: There are fewer GPUs on this node than ranks.
    """
    num_gpus = torch.cuda.device_count()
    if rank_info.device.index >= num_gpus:
        raise DistributedError(
            f"rank {rank_info.rank}: expected a GPU for local rank {rank_info.local_rank}, "
            f"got {num_gpus} GPUs on this node; start one task a GPU"
        )


def rank_info_from_environment(environment: Mapping[str, str]) -> RankInfo:
    """Read the place of this process from the variables of torchrun, or else of Slurm.

    Args:
        environment: `os.environ`, or a copy.

    Returns:
        The rank, of how many, and where. A process that neither of them started has world size 1.

    Raises:
        DistributedError: Variables contradict each other or are missing. There is no silent fallback to world size 1.
    """
    if "RANK" in environment:
        rank_info = _of_torchrun(environment)
    elif int(environment.get("SLURM_NTASKS", "1")) > 1:
        rank_info = _of_srun(environment)
    else:
        _check_alone(environment)
        return RankInfo()

    if not 0 <= rank_info.rank < rank_info.world_size:
        raise DistributedError(
            f"environment: expected a rank in [0, {rank_info.world_size}), got {rank_info.rank}"
        )
    return rank_info


def _of_torchrun(environment: Mapping[str, str]) -> RankInfo:
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    missing = [name for name in names if name not in environment]
    if missing:
        raise DistributedError(
            f"environment: RANK is set but {', '.join(missing)} is not; start with torchrun or srun"
        )

    return RankInfo(
        rank=int(environment["RANK"]),
        local_rank=int(environment["LOCAL_RANK"]),
        world_size=int(environment["WORLD_SIZE"]),
        master_addr=environment["MASTER_ADDR"],
        master_port=int(environment["MASTER_PORT"]),
    )


def _of_srun(environment: Mapping[str, str]) -> RankInfo:
    num_tasks = environment["SLURM_NTASKS"]
    if "SLURM_PROCID" not in environment:
        raise DistributedError(
            f"environment: this process is none of the Slurm job's {num_tasks} tasks; "
            "start with srun, or with torchrun"
        )

    # The job's number gives all ranks the same port, and most other jobs another one.
    port = environment.get("MASTER_PORT") or 20000 + int(environment["SLURM_JOB_ID"]) % 10000
    return RankInfo(
        rank=int(environment["SLURM_PROCID"]),
        local_rank=int(environment["SLURM_LOCALID"]),
        world_size=int(num_tasks),
        master_addr=environment.get("MASTER_ADDR") or slurm_hosts(environment)[0],
        master_port=int(port),
    )


def _check_alone(environment: Mapping[str, str]) -> None:
    """Check that no unknown launcher has started this process as one of many.

    Raises:
        DistributedError: One has.
    """
    for name in _SIZES_BY_MPI:
        size = environment.get(name, "1")
        if size.isdigit() and int(size) > 1:
            raise DistributedError(
                f"environment: expected torchrun or srun, got {name}={size}, as from mpirun or "
                "hydra; start each of the processes by `torchrun --nproc-per-node N -m surgstream "
                "pretrain ...` or by srun"
            )


def slurm_hosts(environment: Mapping[str, str]) -> list[str]:
    """List the nodes of this Slurm step, or of the job, in Slurm's order; none outside Slurm.

    Raises:
        DistributedError: scontrol cannot be run.
    """
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST", "")
    if "SLURM_JOB_ID" not in environment:
        return []

    try:
        listing = subprocess.run(
            ["scontrol", "show", "hostnames", nodes],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise DistributedError(
            f"srun: expected scontrol to expand the node list {nodes!r} ({error}); "
            "export MASTER_ADDR in the job script"
        ) from None

    return listing.stdout.split()


def collective_timeout(timeout_seconds: float, device: torch.device) -> timedelta:
    """Compute the timeout of collectives from that of the watchdog, which ends a rank without progress.

    NCCL's timeout is a little shorter than the watchdog's, since NCCL alone can write its flight recorder. That of gloo
    is a little longer, since gloo would unwind the stack that the watchdog is to write.

    Args:
        timeout_seconds: The longest that a rank may make no progress.
        device: The device of the tensors.
    """
    share = 0.9 if device.type == "cuda" else 1.1
    return timedelta(seconds=timeout_seconds * share)


@contextmanager
def alone_when_failing(rank_info: RankInfo) -> Iterator[None]:
    """End this process at once when its block raises, after logging why.

    The other ranks may be waiting in a collective: leaving the group in good order would wait for them, and they for
    the timeout. A process that ends closes its connections, and the launcher ends the rest. Rank 0 reports first, so
    that an error which all ranks have is logged once. A rank that has lost another one ends a little later than that
    one, so that the launcher hears first of whom it is about.
    """
    try:
        yield
    except BaseException as error:
        if rank_info.world_size == 1:
            leave()
            raise

        if not rank_info.is_main:
            time.sleep(_FIRST_WORD_SECONDS)

        lost_peer = isinstance(error, RuntimeError) and _LOST_PEER.search(str(error))
        if isinstance(error, SurgstreamError | OSError):
            log.error("%s", error)
        elif lost_peer:
            log.error(
                "another rank has ended; its own message, or its stacks in the run directory, "
                "say why"
            )
        elif not isinstance(error, KeyboardInterrupt):
            log.exception("unexpected error")

        # No exit handler runs, as some would wait for other ranks; so the log is flushed by hand.
        logging.shutdown()
        if lost_peer:
            time.sleep(_FIRST_WORD_SECONDS)
        os._exit(error.exit_status if isinstance(error, SurgstreamError) else 1)


def leave() -> None:
    """Leave the process group, if this process is in one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def mean_over_ranks(values: torch.Tensor) -> torch.Tensor:
    """Average a tensor over all ranks, in place."""
    dist.all_reduce(values)
    return values.div_(dist.get_world_size())


def all_gather(value: T) -> list[T]:
    """Collect one small picklable object from every rank, by rank."""
    gathered: list[T] = [value] * dist.get_world_size()
    dist.all_gather_object(gathered, value)
    return gathered


def gather(value: T) -> list[T]:
    """Collect one picklable object from every rank, by rank, on rank 0; the others get none."""
    if dist.get_world_size() == 1:
        return [value]

    is_main = dist.get_rank() == 0
    gathered: list[Any] | None = [None] * dist.get_world_size() if is_main else None
    dist.gather_object(value, gathered)
    return gathered or []


def from_main(action: Callable[[], T]) -> T:
    """Run `action` on rank 0 alone, and give its result, or its SurgstreamError or OSError, to every rank."""
    outcome: list[Any] = [None, None]
    if dist.get_rank() == 0:
        try:
            outcome[0] = action()
        except (SurgstreamError, OSError) as error:
            outcome[1] = error
    dist.broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return cast(T, outcome[0])


def broadcast(tensors: Iterable[torch.Tensor]) -> None:
    """Give every rank the values of rank 0's tensors, in place; they are on the ranks' devices."""
    for tensor in tensors:
        dist.broadcast(tensor, src=0)


def barrier() -> None:
    """Wait for all ranks, if there are others."""
    if dist.get_world_size() > 1:
        dist.barrier()
