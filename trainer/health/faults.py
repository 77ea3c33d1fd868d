"""What is wrong with a GPU or an adapter, by itself or against its peers, and what to do about it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from surgstream.trainer.health.adapters import Adapter
from surgstream.trainer.health.gpus import GpuHealth


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something to mend.

    Attributes:
        sentence: What is wrong and what to do.
        fatal: Whether no run should begin with it. A run that has begun goes on.
    """

    sentence: str
    fatal: bool


def gpu_faults(gpu: GpuHealth, peers: Sequence[GpuHealth]) -> Iterator[Fault]:
    """Find the faults of a GPU; what NVML does not tell is none.

    Args:
        gpu: The GPU.
        peers: All GPUs of the run, itself included.
    """
    yield from _memory_faults(gpu)
    name = gpu_name(gpu)
    if gpu.recovery:
        yield Fault(
            sentence=f"{name}: the driver asks to {gpu.recovery}; do so before it is used again",
            fatal=True,
        )
    if gpu.xids:
        xids = ", ".join(map(str, gpu.xids))
        yield Fault(
            sentence=f"{name} had the error Xid {xids}; look it up in NVIDIA's list of Xid errors "
            "and in dmesg, and drain the node if it comes again",
            fatal=True,
        )
    yield from _link_faults(gpu, peers)

    if gpu.slowdown:
        yield Fault(
            sentence=f"{name} is slowed down by {gpu.slowdown}; look at the node's "
            "fans, air and power supplies: all other GPUs wait for it",
            fatal=False,
        )


def gpu_name(gpu: GpuHealth) -> str:
    """A GPU as `nvidia-smi` numbers it, with the beginning of its UUID: `GPU 3 (GPU-5a4c1e8f)`."""
    return f"GPU {gpu.index} ({'-'.join(gpu.uuid.split('-')[:2])})"


def _memory_faults(gpu: GpuHealth) -> Iterator[Fault]:
    name = gpu_name(gpu)
    if gpu.uncorrected_errors and not gpu.remap_pending:
        plural = "s" if gpu.uncorrected_errors > 1 else ""
        yield Fault(
            sentence=f"{name} has {gpu.uncorrected_errors} uncorrected ECC error{plural} since its "
            "last reset; drain the node and reset the GPU",
            fatal=True,
        )
    if gpu.remap_failed:
        yield Fault(
            sentence=f"{name} could not replace a bad row of its memory; drain the node and have "
            "the GPU exchanged",
            fatal=True,
        )
    elif gpu.remap_pending:
        # Until then the driver keeps the bad pages, of an error that was contained, away from programs.
        yield Fault(
            sentence=f"{name} has rows of memory to be remapped; reset the GPU when the node is "
            "free",
            fatal=False,
        )


def _link_faults(gpu: GpuHealth, peers: Sequence[GpuHealth]) -> Iterator[Fault]:
    # How many links a model has differs with the model, and those that it lacks are as inactive as broken ones.
    links = [peer.num_links or 0 for peer in peers if peer.name == gpu.name]
    most = max(links, default=0)
    if gpu.num_links is not None and gpu.num_links < most:
        yield Fault(
            sentence=f"{gpu_name(gpu)} has {gpu.num_links} NVLinks up where others have {most}; "
            "see `nvidia-smi nvlink --status`, drain the node and reset its GPUs",
            fatal=True,
        )

    found = gpu.pcie
    best = gpu.pcie_best
    if found and best and (found.width < best.width or found.generation < best.generation):
        yield Fault(
            sentence=f"{gpu_name(gpu)} has PCIe {found.generation} x{found.width} where "
            f"{best.generation} x{best.width} is possible; reseat the GPU or its riser",
            fatal=False,
        )


def adapter_faults(
    adapters: Sequence[Adapter], nodes: Sequence[Sequence[Adapter]]
) -> Iterator[Fault]:
    """Find the faults of a node's adapters: ports that are down, or slower than on most nodes.

    A port is compared with those of its name alone: dual-ported adapters have one that is not cabled, and some ports
    carry storage.

    Args:
        adapters: The adapters of the node that NCCL may take.
        nodes: The adapters of all nodes, this one included. A node alone does not use any.
    """
    if len(nodes) == 1:
        return
    own = {adapter.name: adapter for adapter in adapters}
    names = dict.fromkeys(adapter.name for node in nodes for adapter in node)
    fastest = max((port.gbit_per_second for node in nodes for port in node), default=0.0)

    for name in names:
        # Of two rates that equally many have, the higher one is meant
        rates = Counter(_rate(node, name) for node in nodes)
        usual = max(rates, key=lambda rate: (rates[rate], rate))
        rate = _rate(adapters, name)
        if rate >= usual:
            continue

        # Gradients go by the fastest ports; a slower one may be storage's, and one of two nodes proves nothing
        is_needed = usual == fastest and 2 * rates[usual] > len(nodes)

        if not rate:
            state = own[name].state if name in own else "missing"
            yield Fault(
                sentence=f"the adapter {name} is {state} where others have it at {usual:g} Gb/s; "
                "look at its cable and its switch, drain the node, or leave the adapter out by "
                "NCCL_IB_HCA on all nodes",
                fatal=is_needed,
            )
        else:
            yield Fault(
                sentence=f"the adapter {name} has {rate:g} Gb/s where others have {usual:g}; "
                "reseat its cable or exchange it: the slowest adapter sets the pace",
                fatal=False,
            )


def _rate(adapters: Sequence[Adapter], name: str) -> float:
    return next((own.gbit_per_second for own in adapters if own.name == name), 0.0)
