"""The findings of a rank, as plain data: they travel to rank 0, which judges and prints them."""

from dataclasses import dataclass, field

from surgstream.trainer.health.adapters import Adapter
from surgstream.trainer.health.gpus import GpuHealth
from surgstream.trainer.health.nccl import Transport


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU that a rank can see, with all of its memory in GiB."""

    uuid: str
    name: str
    gib: float


@dataclass(frozen=True, kw_only=True)
class NodeFacts:
    """A node as one of its ranks sees it.

    Attributes:
        gpus: All GPUs that this rank sees.
        own_gpu: UUID of the one that it will use; empty without a GPU.
        num_cores: CPU cores that this rank runs on, once it is bound.
        num_far_cores: Those of them that are not near its GPU; 0 where that is not known.
        own_free_gib: Memory of that one which nobody uses yet.
        versions: Of what must be equal everywhere, by name.
        run_dir_gib: Free space where the run directory is, or will be.
        cache_gib: Space that the cache may fill: free, or its own already; None without a cache.
        shm_gib: Free space of /dev/shm.
        nofile: Files and sockets a process may hold; -1 is no limit, here and below.
        nproc: Processes and threads a user may have.
        memlock: Bytes a process may lock in memory.
        infiniband: Whether the node has InfiniBand or RoCE adapters.
    """

    gpus: tuple[Gpu, ...] = ()
    own_gpu: str = ""
    num_cores: int = 0
    num_far_cores: int = 0
    own_free_gib: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    run_dir_gib: float
    cache_gib: float | None = None
    shm_gib: float
    nofile: int = -1
    nproc: int = -1
    memlock: int = -1
    infiniband: bool = False


@dataclass(frozen=True, kw_only=True)
class CudaVersions:
    """The versions of CUDA on a node with NVIDIA's driver, such as `12.4`; empty is none.

    Attributes:
        driver: The driver's own version, such as `550.54.15`.
        of_driver: The newest CUDA that the driver runs; empty where its library is not found.
        of_torch: The CUDA that torch is built for.
        of_dali: The CUDA that DALI is built for.
    """

    driver: str
    of_driver: str
    of_torch: str
    of_dali: str


@dataclass(frozen=True, kw_only=True)
class StepMemory:
    """One step of the model on a rank: its peak of GPU memory and all there is, in GiB; 0 without a GPU."""

    peak_gib: float
    gib: float


@dataclass(frozen=True, kw_only=True)
class GpuDecoding:
    """What came of decoding on a rank's GPU.

    Attributes:
        problem: What is wrong with it, the beginning of a sentence; empty where it gave the CPU's pixels.
        is_asked_for: Whether the recipe asks for the GPU, rather than leaves the choice.
    """

    problem: str
    is_asked_for: bool


@dataclass(frozen=True, kw_only=True)
class HardwareFacts:
    """A rank's GPU, and how it is connected; None is what could not be found out, or is not there.

    Attributes:
        gemm_tflops: Rate of the GPU's bf16 matrix products.
        health: What NVML says of it meanwhile.
        adapters: The ports of the node's InfiniBand and RoCE adapters that NCCL may take.
        node_gb_per_second: As `bus_gb_per_second`, inside the node alone; 0 where a node has a single rank.
        transport: What NCCL says of its connections, where it is asked.
    """

    gemm_tflops: float | None = None
    health: GpuHealth | None = None
    adapters: tuple[Adapter, ...] = ()
    node_gb_per_second: float | None = None
    transport: Transport | None = None


@dataclass(frozen=True, kw_only=True)
class CheckFailure:
    """A check that failed on a rank.

    Attributes:
        check: Its column in the table.
        sentence: What is wrong and what to do.
        in_time: Whether it ended; one that did not has found nothing out.
        fatal: Whether a run cannot start without it.
        of_node: Whether a node may be to blame, rather than the recipe or all nodes together.
    """

    check: str
    sentence: str
    in_time: bool = True
    fatal: bool = True
    of_node: bool = True


@dataclass(frozen=True, kw_only=True)
class RankReport:
    """All that a rank found out; None is what it could not.

    Attributes:
        rank: Its number.
        node: The name of its node.
        facts: The node.
        cuda: The versions of CUDA; None as well without a driver, or with hidden GPUs.
        gpus_asked_for: The GPUs that the launcher says each node has for the run; 0 where it says nothing.
        clock: Unix time at a moment that all ranks share.
        manifest: The beginning of the SHA-256 of the corpus manifest, and of the held-out one's where there is one.
        mb_per_second: What it read from the store, while all ranks did.
        decoding: Decoding on its GPU; None as well on all but one rank of a node, and where the recipe wants the CPU.
        shared: Whether the run directory is one and the same for all ranks.
        bus_gb_per_second: Bus bandwidth of an all-reduce over all ranks, as nccl-tests define it; 0 for a single rank.
        hardware: Its GPU, and the connections of its node.
        step: A step of the model; None as well where none was asked for.
        failures: What failed on it.
    """

    rank: int
    node: str
    facts: NodeFacts | None = None
    cuda: CudaVersions | None = None
    gpus_asked_for: int | None = None
    clock: float | None = None
    manifest: str | None = None
    mb_per_second: float | None = None
    decoding: GpuDecoding | None = None
    shared: bool | None = None
    bus_gb_per_second: float | None = None
    hardware: HardwareFacts = HardwareFacts()
    step: StepMemory | None = None
    failures: tuple[CheckFailure, ...] = ()
