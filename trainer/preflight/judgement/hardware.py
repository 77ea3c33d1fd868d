"""Problems of GPUs, of adapters and of the network: faulty, slower than their peers, slower than their links."""

from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from surgstream.trainer.health.adapters import Adapter
from surgstream.trainer.health.faults import adapter_faults, gpu_faults, gpu_name
from surgstream.trainer.preflight.judgement.problems import Problem, nodes
from surgstream.trainer.preflight.judgement.report import RankReport

SLOW_GPU = 0.9
"""The share of its peers' rate of matrix products below which a GPU is slow: every step waits for the slowest one.
Power limits, temperatures and the silicon itself make a few percent."""

LAME_GPU = 0.75
"""The share below which no run should begin: all GPUs would lose a quarter of their time to this one."""

TCP_GB_PER_SECOND = 5.0
"""Between nodes, InfiniBand gives tens and more, TCP over common Ethernet less than this."""

ADAPTERS_SHARE = 0.4
"""The share of its adapters' rates that an all-reduce between nodes should reach."""

NODE_SHARE = 0.5
"""The share of the speed inside a node that an all-reduce between nodes should reach where adapters could give more:
its bytes go over NVLink as well."""

NVLINK_GB_PER_SECOND = 25.0
"""One way over one NVLink of the Volta generation and all since; the newest ones have more."""

NVLINK_SHARE = 0.5
"""The share of its NVLinks that an all-reduce inside a node should reach; 100 GB/s of an H800's eight."""


def hardware_problems(reports: Sequence[RankReport]) -> Iterator[Problem]:
    """Find what is wrong with GPUs, adapters and the network.

    Args:
        reports: The reports of all ranks, by rank.
    """
    by_node = nodes(reports)
    yield from _faults(reports, by_node)
    yield from _slow_gpus(reports)
    for own in by_node.values():
        yield from _slow_inside(own)

    on_gpus = [report for report in reports if report.facts and report.facts.gpus]
    if len(by_node) > 1 and on_gpus:
        yield from _slow_between(on_gpus, by_node)
        yield from _not_over_adapters(on_gpus)


def _faults(
    reports: Sequence[RankReport], by_node: dict[str, list[RankReport]]
) -> Iterator[Problem]:
    peers = [report.hardware.health for report in reports if report.hardware.health]
    for report in reports:
        if report.hardware.health:
            for fault in gpu_faults(report.hardware.health, peers):
                yield _problem("GPUs", fault.sentence, [report], fatal=fault.fatal)

    adapters = {
        node: found for node, own in by_node.items() if (found := _adapters(own)) is not None
    }
    for node, found in adapters.items():
        for fault in adapter_faults(found, [*adapters.values()]):
            yield _problem("network", fault.sentence, by_node[node], fatal=fault.fatal)


def _slow_gpus(reports: Sequence[RankReport]) -> Iterator[Problem]:
    rates = _known(report.hardware.gemm_tflops for report in reports)
    usual = median(rates) if rates else 0.0
    for report in reports:
        health = report.hardware.health
        rate = report.hardware.gemm_tflops
        if rate and rate < SLOW_GPU * usual:
            yield _problem(
                "GPUs",
                f"{gpu_name(health) if health else 'its GPU'} multiplies matrices at {rate:.0f} "
                f"TFLOP/s where the median is {usual:.0f}, and all others wait for it; see "
                "`nvidia-smi -q` for its clocks, power and temperature, or drain the node",
                [report],
                fatal=rate < LAME_GPU * usual,
            )


def _slow_inside(own: Sequence[RankReport]) -> Iterator[Problem]:
    speeds = _known(report.hardware.node_gb_per_second for report in own)
    links = [report.hardware.health.num_links or 0 for report in own if report.hardware.health]
    expected = NVLINK_SHARE * NVLINK_GB_PER_SECOND * min(links, default=0)
    if speeds and min(speeds) < expected:
        yield _problem(
            "network",
            f"an all-reduce inside the node has {min(speeds):.0f} GB/s, expected {expected:.0f} "
            f"of {min(links)} NVLinks a GPU; see `nvidia-smi topo -m`, and whether NCCL_P2P_DISABLE "
            "is set or each task sees its own GPU alone",
            own,
        )


def _slow_between(
    reports: Sequence[RankReport], by_node: dict[str, list[RankReport]]
) -> Iterator[Problem]:
    # The slowest node sets the pace
    nodes_adapters = [_adapters(own) for own in by_node.values()]
    gbit = min(
        sum(port.gbit_per_second for port in adapters)
        for adapters in nodes_adapters
        if adapters is not None
    )
    expected = ADAPTERS_SHARE * gbit / 8
    inside = _known(report.hardware.node_gb_per_second for report in reports)
    if inside:
        expected = min(expected, NODE_SHARE * min(inside))

    least = max(expected, TCP_GB_PER_SECOND)
    slow = [report for report in reports if 0 < (report.bus_gb_per_second or 0.0) < least]
    if not slow:
        return
    speed = min(_known(report.bus_gb_per_second for report in slow))
    sentence = f"an all-reduce over all nodes has {speed:.1f} GB/s"
    if gbit:
        sentence += f", expected {expected:.0f} of adapters with {gbit:.0f} Gb/s a node"
    if speed < TCP_GB_PER_SECOND:
        sentence += "; that is TCP rather than InfiniBand"
    sentence += (
        "; see what NCCL_DEBUG=INFO says of NET, and whether NCCL_IB_HCA, or NCCL_SOCKET_IFNAME, "
        "names all that there is"
    )
    yield _problem("network", sentence, slow)


def _not_over_adapters(reports: Sequence[RankReport]) -> Iterator[Problem]:
    over_tcp = []
    past_host = []
    for report in reports:
        transport = report.hardware.transport
        if not transport or not any(port.gbit_per_second for port in report.hardware.adapters):
            continue
        if transport.network == "Socket":
            over_tcp.append(report)
        elif transport.gpu_direct is False:
            past_host.append(report)

    if over_tcp:
        yield _problem(
            "network",
            "NCCL goes over TCP although there are adapters; install libibverbs1 and "
            "ibverbs-providers in the image, let containers see /dev/infiniband, and see whether "
            "NCCL_NET is set",
            over_tcp,
        )
    if past_host:
        yield _problem(
            "network",
            "adapters reach the GPUs' memory through the host's, at a fraction of their rate; load "
            "nvidia-peermem, and see NCCL_NET_GDR_LEVEL and whether ACS is off",
            past_host,
        )


def _adapters(own: Sequence[RankReport]) -> tuple[Adapter, ...] | None:
    """The adapters of a node, which all of its ranks see; None where no rank has told."""
    return next((report.hardware.adapters for report in own if report.facts), None)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value]


def _problem(
    check: str, sentence: str, where: Sequence[RankReport], *, fatal: bool = False
) -> Problem:
    """A problem; what is so bad that no run should begin is a node's own."""
    ranks = tuple(report.rank for report in where)
    return Problem(check=check, sentence=sentence, ranks=ranks, fatal=fatal, of_node=fatal)
