"""Made-up reports of clusters that nobody has here."""

from dataclasses import replace
from typing import Any

from surgstream.trainer.preflight.judgement.problems import Requirements
from surgstream.trainer.preflight.judgement.report import (
    CudaVersions,
    Gpu,
    NodeFacts,
    RankReport,
    StepMemory,
)

NEEDS = Requirements(checkpoint_gib=1.2, checkpoints=4, cache_gib=93.0, with_step=True)
VERSIONS = {
    "torch": "2.13.0+cu130",
    "DALI": "2.4.0",
    "driver": "580.65.06",
    "CUDA": "13.0",
    "NCCL": "2.28.9",
}
CUDA = CudaVersions(driver="580.65.06", of_driver="13.0", of_torch="13.0", of_dali="13.0")


def cluster(num_nodes: int, gpus: int = 8) -> list[RankReport]:
    """Healthy nodes of so many GPUs, one rank a GPU."""
    return [
        report(node * gpus + seat, f"h800-node-{node:03d}", gpus)
        for node in range(num_nodes)
        for seat in range(gpus)
    ]


def report(rank: int, node: str, gpus: int) -> RankReport:
    """A healthy rank."""
    seen = tuple(Gpu(uuid=f"{node}-{i}", name="NVIDIA H800", gib=79.6) for i in range(gpus))
    return RankReport(
        rank=rank,
        node=node,
        facts=NodeFacts(
            gpus=seen,
            own_gpu=seen[rank % gpus].uuid if gpus else "",
            own_free_gib=79.0,
            versions=VERSIONS,
            run_dir_gib=20_000.0,
            cache_gib=3_000.0,
            shm_gib=1_007.0,
            nofile=1_048_576,
            nproc=-1,
            memlock=-1,
            infiniband=True,
        ),
        cuda=CUDA,
        clock=1_790_000_000.0 + 0.001 * rank,
        manifest="d0985de36c13",
        mb_per_second=150.0,
        shared=True,
        bus_gb_per_second=312.0,
        step=StepMemory(peak_gib=61.2, gib=79.6),
    )


def change(reports: list[RankReport], node: int | None = None, **changes: Any) -> list[RankReport]:
    """The reports with other values on one node, or on all; names of `NodeFacts` go there."""
    name = None if node is None else list(dict.fromkeys(report.node for report in reports))[node]
    return [
        _changed(report, changes) if name in (None, report.node) else report for report in reports
    ]


def _changed(report: RankReport, changes: dict[str, Any]) -> RankReport:
    of_facts = {
        key: value for key, value in changes.items() if key in NodeFacts.__dataclass_fields__
    }
    assert report.facts
    rest = {key: value for key, value in changes.items() if key not in of_facts}
    return replace(report, facts=replace(report.facts, **of_facts), **rest)
