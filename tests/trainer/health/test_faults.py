from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.health.adapters import Adapter
from surgstream.trainer.health.faults import adapter_faults, gpu_faults
from surgstream.trainer.health.gpus import GpuHealth, PcieLink

HEALTHY = GpuHealth(
    index=3,
    uuid="GPU-5a4c1e8f-0000-0000-0000-000000000003",
    name="NVIDIA H800",
    uncorrected_errors=0,
    remap_pending=False,
    remap_failed=False,
    recovery="",
    slowdown="",
    num_links=8,
    pcie=PcieLink(generation=5, width=16),
    pcie_best=PcieLink(generation=5, width=16),
)
SILENT = GpuHealth(index=3, uuid=HEALTHY.uuid, name=HEALTHY.name)


def adapters(*rates: float) -> list[Adapter]:
    """The ports mlx5_0:1 and so on; rate 0 is down."""
    return [
        Adapter(
            name=f"mlx5_{number}:1",
            state="ACTIVE" if rate else "DOWN (Polling)",
            gbit_per_second=rate,
        )
        for number, rate in enumerate(rates)
    ]


@pytest.mark.parametrize("gpu", [HEALTHY, SILENT])
def test_a_healthy_gpu_and_one_that_tells_nothing_have_no_fault(gpu: GpuHealth) -> None:
    assert list(gpu_faults(gpu, [gpu, HEALTHY, SILENT])) == []


@pytest.mark.parametrize(
    ("changes", "says", "fatal"),
    [
        (
            {"uncorrected_errors": 2},
            "has 2 uncorrected ECC errors since its last reset; drain the node and reset the GPU",
            True,
        ),
        ({"uncorrected_errors": 1}, "has 1 uncorrected ECC error since", True),
        ({"remap_pending": True}, "has rows of memory to be remapped; reset the GPU", False),
        (
            {"remap_pending": True, "remap_failed": True},
            "could not replace a bad row of its memory; drain the node",
            True,
        ),
        ({"recovery": "reboot the node"}, "the driver asks to reboot the node; do so", True),
        ({"xids": (79, 48)}, "had the error Xid 79, 48; look it up", True),
        (
            {"slowdown": "the power supply's brake"},
            "is slowed down by the power supply's brake; look at the node's fans",
            False,
        ),
        ({"num_links": 7}, "has 7 NVLinks up where others have 8; see", True),
        (
            {"pcie": PcieLink(generation=5, width=8)},
            "has PCIe 5 x8 where 5 x16 is possible; reseat",
            False,
        ),
        (
            {"pcie": PcieLink(generation=3, width=16)},
            "has PCIe 3 x16 where 5 x16 is possible; reseat",
            False,
        ),
    ],
)
def test_each_fault_of_a_gpu_is_one_sentence_that_says_what_to_do(
    changes: dict[str, object], says: str, fatal: bool
) -> None:
    gpu = replace(HEALTHY, **changes)  # type: ignore[arg-type]
    (fault,) = gpu_faults(gpu, [HEALTHY, gpu])
    assert fault.fatal == fatal
    assert fault.sentence.startswith("GPU 3 (GPU-5a4c1e8f)") and says in fault.sentence


def test_links_are_compared_within_a_model() -> None:
    other = replace(HEALTHY, name="NVIDIA H100 80GB HBM3", num_links=18)
    assert list(gpu_faults(HEALTHY, [HEALTHY, other])) == []


def test_an_adapter_that_is_down_or_missing_forbids_a_run() -> None:
    nodes = [adapters(400, 400), adapters(400, 0), adapters(400)]
    assert list(adapter_faults(nodes[0], nodes)) == []

    # Three nodes of five have the port
    nodes += [adapters(400, 400), adapters(400, 400)]
    (down,) = adapter_faults(nodes[1], nodes)
    (missing,) = adapter_faults(nodes[2], nodes)
    assert down.fatal and missing.fatal
    assert down.sentence.startswith(
        "the adapter mlx5_1:1 is DOWN (Polling) where others have it at 400 Gb/s; look at its cable"
    )
    assert missing.sentence.startswith("the adapter mlx5_1:1 is missing where others have it")


def test_a_port_of_storage_or_of_one_of_two_nodes_is_warned_of() -> None:
    nodes = [adapters(400, 25), adapters(400, 0), adapters(400, 25)]
    (storage,) = adapter_faults(nodes[1], nodes)
    (one_of_two,) = adapter_faults(adapters(400, 0), [adapters(400, 400), adapters(400, 0)])
    assert not storage.fatal and not one_of_two.fatal


def test_an_adapter_at_half_rate_is_warned_of() -> None:
    nodes = [adapters(400, 200), adapters(200, 200), adapters(400, 200)]
    (fault,) = adapter_faults(nodes[1], nodes)
    assert not fault.fatal
    assert fault.sentence.startswith("the adapter mlx5_0:1 has 200 Gb/s where others have 400; ")


@given(st.lists(st.sampled_from([0.0, 200.0, 400.0]), min_size=1, max_size=6))
def test_nodes_with_less_than_most_have_are_blamed_and_no_others(rates: list[float]) -> None:
    nodes = [adapters(rate) for rate in rates]
    blamed = [any(adapter_faults(node, nodes)) for node in nodes]
    if len(nodes) == 1:
        assert blamed == [False], "it uses none"
        return

    for usual in set(rates):
        if rates.count(usual) > len(nodes) / 2:
            assert blamed == [rate < usual for rate in rates]
