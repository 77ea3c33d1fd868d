"""How NCCL connects GPUs, and how fast they are together and alone, one line for all nodes that are alike."""

from collections.abc import Iterable, Iterator, Sequence

from surgstream.trainer.health.nccl import Transport
from surgstream.trainer.preflight.judgement.problems import nodes
from surgstream.trainer.preflight.judgement.report import RankReport

_NODES_NAMED = 2


def speeds_by_connection(reports: Sequence[RankReport]) -> list[str]:
    """Describe all nodes of which something is known.

    Args:
        reports: The reports of all ranks, by rank.
    """
    alike: dict[str, list[list[RankReport]]] = {}
    for own in nodes(reports).values():
        alike.setdefault(_connections(own), []).append(own)

    lines = []
    for connections, similar in alike.items():
        together = [report for own in similar for report in own]
        known = [connections, *_speeds(together)]
        if any(known):
            names = [own[0].node for own in similar]
            where = ", ".join(names) if len(names) <= _NODES_NAMED else f"{len(names)} nodes"
            lines.append(f"{where}: {'; '.join(filter(None, known))}")
    return lines


def _connections(own: Sequence[RankReport]) -> str:
    """What NCCL said on a node's ranks; a rank alone may reach its peers, or other nodes, in another way."""
    found = [report.hardware.transport for report in own if report.hardware.transport]
    if not found:
        return ""

    words = [f"NCCL {found[0].version} over {found[0].network}", *_adapters(found)]
    inside = dict.fromkeys(way for transport in found for way in transport.inside)
    if inside:
        words.append(f"{' and '.join(inside)} inside a node")
    return ", ".join(words)


def _adapters(found: Sequence[Transport]) -> Iterator[str]:
    adapters = dict.fromkeys(port for transport in found for port in transport.adapters)
    if adapters:
        yield f"{len(adapters)} adapter{'s' if len(adapters) > 1 else ''}"
    direct = {transport.gpu_direct for transport in found} - {None}
    if direct:
        yield "GPUDirect RDMA" if direct == {True} else "no GPUDirect RDMA"


def _speeds(reports: Sequence[RankReport]) -> Iterator[str]:
    inside = _span(report.hardware.node_gb_per_second for report in reports)
    if inside:
        yield f"{inside} GB/s inside a node"
    if inside and len({report.node for report in reports}) > 1:
        yield f"{_span(report.bus_gb_per_second for report in reports)} GB/s over all"
    tflops = _span(report.hardware.gemm_tflops for report in reports)
    if tflops:
        yield f"{tflops} TFLOP/s a GPU"


def _span(values: Iterable[float | None]) -> str:
    """`598-611`, or nothing where no value is known."""
    known = [value for value in values if value]
    if not known:
        return ""
    lowest = f"{min(known):.3g}"
    highest = f"{max(known):.3g}"
    return lowest if lowest == highest else f"{lowest}-{highest}"
