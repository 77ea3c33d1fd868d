import json
from dataclasses import replace
from typing import Any

import pytest

from surgstream.configs.loading import build, to_tree
from surgstream.trainer.health.adapters import Adapter
from surgstream.trainer.health.gpus import GpuHealth, PcieLink
from surgstream.trainer.health.nccl import Transport
from surgstream.trainer.preflight.judgement.findings import find_problems
from surgstream.trainer.preflight.judgement.problems import Problem
from surgstream.trainer.preflight.judgement.report import HardwareFacts, RankReport
from surgstream.trainer.preflight.judgement.table import one_line, render
from tests.trainer.preflight.reports import NEEDS, change, cluster

PORTS = tuple(
    Adapter(name=f"mlx5_{number}:1", state="ACTIVE", gbit_per_second=400.0) for number in range(8)
)
INFINIBAND = Transport(
    version="2.29.7+cuda13.0",
    network="IB",
    adapters=tuple(port.name for port in PORTS),
    gpu_direct=True,
    inside=("P2P/CUMEM",),
)
WELL = HardwareFacts(
    gemm_tflops=610.0, adapters=PORTS, node_gb_per_second=160.0, transport=INFINIBAND
)


def h800s(num_nodes: int) -> list[RankReport]:
    """Healthy nodes of eight H800s with an adapter each."""
    reports = []
    for report in change(cluster(num_nodes), bus_gb_per_second=140.0):
        seat = report.rank % 8
        uuid = f"GPU-{report.rank:08x}-0000"
        gpu = GpuHealth(index=seat, uuid=uuid, name="NVIDIA H800", num_links=8)
        reports.append(replace(report, hardware=replace(WELL, health=gpu)))
    return reports


def break_gpu(reports: list[RankReport], rank: int, **changes: Any) -> list[RankReport]:
    """One rank with other values of its GPU's health."""
    report = reports[rank]
    assert report.hardware.health
    health = replace(report.hardware.health, **changes)
    broken = replace(report, hardware=replace(report.hardware, health=health))
    return [*reports[:rank], broken, *reports[rank + 1 :]]


def on_node(reports: list[RankReport], node: int, **changes: Any) -> list[RankReport]:
    """One node's ranks with other values of their hardware."""
    return [
        replace(report, hardware=replace(report.hardware, **changes))
        if report.rank // 8 == node
        else report
        for report in reports
    ]


def the_problem(reports: list[RankReport]) -> Problem:
    (problem,) = find_problems(reports, NEEDS)
    return problem


def test_what_a_rank_found_arrives_as_it_was() -> None:
    (report, *_) = break_gpu(h800s(1), 0, pcie=PcieLink(generation=5, width=8), xids=(79,))
    text = json.dumps(to_tree(report))
    assert build(RankReport, json.loads(text), where="report of rank 0") == report


@pytest.mark.parametrize("num_nodes", [1, 2, 64])
def test_healthy_hardware_has_no_problem(num_nodes: int) -> None:
    assert find_problems(h800s(num_nodes), NEEDS) == []


@pytest.mark.parametrize(
    ("changes", "says", "fatal"),
    [
        ({"uncorrected_errors": 2}, "GPU 3 (GPU-0000000b) has 2 uncorrected ECC errors", True),
        ({"remap_pending": True}, "GPU 3 (GPU-0000000b) has rows of memory to be remapped", False),
        (
            {"slowdown": "the hardware"},
            "GPU 3 (GPU-0000000b) is slowed down by the hardware",
            False,
        ),
        ({"num_links": 7}, "GPU 3 (GPU-0000000b) has 7 NVLinks up where others have 8", True),
    ],
)
def test_a_fault_of_a_gpu_is_its_rank_s(changes: dict[str, Any], says: str, fatal: bool) -> None:
    reports = break_gpu(h800s(2), 11, **changes)
    problem = the_problem(reports)
    assert says in problem.sentence
    assert (problem.check, problem.ranks, problem.fatal) == ("GPUs", (11,), fatal)
    if fatal:
        assert "GPUs, rank 11 on h800-node-001: GPU 3" in one_line(reports, [problem])


@pytest.mark.parametrize(("tflops", "fatal"), [(560.0, []), (540.0, [False]), (450.0, [True])])
def test_a_gpu_that_is_slower_than_its_peers(tflops: float, fatal: list[bool]) -> None:
    reports = h800s(2)
    facts = replace(reports[5].hardware, gemm_tflops=tflops)
    reports[5] = replace(reports[5], hardware=facts)
    found = find_problems(reports, NEEDS)
    assert [problem.fatal for problem in found] == fatal
    for problem in found:
        assert problem.ranks == (5,)
        assert (
            f"GPU 5 (GPU-00000005) multiplies matrices at {tflops:.0f} TFLOP/s where the median "
            "is 610" in problem.sentence
        )


@pytest.mark.parametrize(
    ("port", "says", "fatal"),
    [
        (
            Adapter(name="mlx5_2:1", state="DOWN (Polling)", gbit_per_second=0.0),
            "the adapter mlx5_2:1 is DOWN (Polling) where others have it at 400 Gb/s",
            True,
        ),
        (
            Adapter(name="mlx5_2:1", state="ACTIVE", gbit_per_second=200.0),
            "the adapter mlx5_2:1 has 200 Gb/s where others have 400",
            False,
        ),
    ],
    ids=["down", "half rate"],
)
def test_a_fault_of_an_adapter_is_its_node_s(port: Adapter, says: str, fatal: bool) -> None:
    ports = (*PORTS[:2], port, *PORTS[3:])
    problem = the_problem(on_node(h800s(3), 1, adapters=ports))
    assert says in problem.sentence
    assert (problem.check, problem.ranks, problem.fatal) == ("network", tuple(range(8, 16)), fatal)


def test_a_node_whose_gpus_do_not_use_their_links() -> None:
    problem = the_problem(on_node(h800s(2), 1, node_gb_per_second=99.0))
    assert not problem.fatal and problem.ranks == tuple(range(8, 16))
    assert "inside the node has 99 GB/s, expected 100 of 8 NVLinks a GPU; see" in problem.sentence


@pytest.mark.parametrize(
    ("speed", "says"),
    [
        (45.0, "has 45.0 GB/s, expected 80 of adapters with 3200 Gb/s a node; see what"),
        (2.0, "has 2.0 GB/s, expected 80 of adapters with 3200 Gb/s a node; that is TCP rather"),
    ],
)
def test_a_network_slower_than_its_adapters(speed: float, says: str) -> None:
    reports = change(h800s(2), bus_gb_per_second=speed)
    problem = the_problem(reports)
    assert says in problem.sentence
    assert not problem.fatal and problem.ranks == tuple(range(16))
    assert find_problems(change(h800s(1), bus_gb_per_second=speed), NEEDS) == []


def test_fewer_adapters_promise_less() -> None:
    reports = change(h800s(2), bus_gb_per_second=45.0)
    for node in range(2):
        reports = on_node(reports, node, adapters=PORTS[:2])
    assert find_problems(reports, NEEDS) == [], "0.4 of 800 Gb/s are 40 GB/s"


@pytest.mark.parametrize(
    ("transport", "says"),
    [
        (Transport(network="Socket"), "NCCL goes over TCP although there are adapters; install"),
        (replace(INFINIBAND, gpu_direct=False), "through the host's, at a fraction of their rate"),
    ],
)
def test_nccl_that_does_not_use_adapters_as_it_could(transport: Transport, says: str) -> None:
    problem = the_problem(on_node(h800s(2), 1, transport=transport))
    assert says in problem.sentence
    assert not problem.fatal and problem.ranks == tuple(range(8, 16))


def test_nodes_that_are_connected_alike_share_a_line() -> None:
    reports = on_node(h800s(4), 3, transport=Transport(version="2.29.7", network="Socket"))
    reports = on_node(reports, 1, node_gb_per_second=158.0, gemm_tflops=598.0)
    lines = render(reports, find_problems(reports, NEEDS)).splitlines()
    begin = lines.index("connections and speeds")
    assert max(map(len, lines)) <= 120
    text = " ".join(" ".join(lines[begin + 1 : lines.index("", begin)]).split())
    assert text == (
        "3 nodes: NCCL 2.29.7+cuda13.0 over IB, 8 adapters, GPUDirect RDMA, P2P/CUMEM inside a node; "
        "158-160 GB/s inside a node; 140 GB/s over all; 598-610 TFLOP/s a GPU "
        "h800-node-003: NCCL 2.29.7 over Socket; 160 GB/s inside a node; 610 TFLOP/s a GPU"
    )
