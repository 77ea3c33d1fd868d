"""The cores of a rank, on machines made of a folder."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.host import cores as host_cores
from surgstream.trainer.host.cores import (
    bind_near,
    cores_near,
    cores_of_rank,
    cores_to_take,
    parse_cores,
)

GPU = torch.device("cuda", 5)
CORES = st.sets(st.integers(0, 255))


@pytest.mark.parametrize(
    ("environment", "bound_to", "expected"),
    [
        ({}, 16, 16),
        ({"LOCAL_WORLD_SIZE": "8"}, 128, 16),
        ({"LOCAL_WORLD_SIZE": "8"}, 4, 1),
        ({"SLURM_CPUS_ON_NODE": "128", "SLURM_STEP_TASKS_PER_NODE": "8(x4)"}, 16, 16),
        ({"SLURM_CPUS_ON_NODE": "128", "SLURM_STEP_TASKS_PER_NODE": "8(x4)"}, 128, 16),
    ],
)
def test_a_rank_keeps_its_own_share_of_the_cores_busy(
    environment: dict[str, str], bound_to: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(bound_to)))
    assert cores_of_rank(environment) == expected


@given(CORES)
def test_a_list_of_cores_is_read_as_linux_writes_it(cores: set[int]) -> None:
    singly = ",".join(map(str, sorted(cores)))
    assert parse_cores(f"{singly}\n") == cores
    assert parse_cores("0-3,8,96-97\n") == {0, 1, 2, 3, 8, 96, 97}


@pytest.fixture
def sys_of_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose sixth GPU is on the second of two sockets of 48 cores."""
    slot = tmp_path / "bus/pci/devices/0001:c7:00.0"
    slot.mkdir(parents=True)
    (slot / "local_cpulist").write_text("48-95\n")
    found = SimpleNamespace(pci_domain_id=1, pci_bus_id=0xC7, pci_device_id=0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: found)
    return tmp_path


def test_the_cores_near_a_gpu_are_those_of_its_pci_slot(sys_of_gpu: Path) -> None:
    assert cores_near(GPU, sys_of_gpu) == set(range(48, 96))
    assert cores_near(torch.device("cpu"), sys_of_gpu) == set()


@pytest.mark.parametrize(
    "found", [SimpleNamespace(), SimpleNamespace(pci_domain_id=9, pci_bus_id=1, pci_device_id=0)]
)
def test_what_a_machine_or_torch_does_not_tell_is_not_known(
    found: SimpleNamespace, sys_of_gpu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: found)
    assert cores_near(GPU, sys_of_gpu) == set()


@pytest.mark.parametrize(
    ("present", "near", "share", "taken"),
    [
        (range(96), range(48, 96), 12, range(48, 96)),
        (range(60, 72), range(48, 96), 12, range(60, 72)),
        (range(48, 60), range(56, 112), 12, range(48, 60)),
        (range(12), range(48, 96), 12, range(12)),
        (range(96), (), 12, range(96)),
        (range(0, 96, 2), range(48, 96), 6, range(48, 96, 2)),
    ],
    ids=[
        "unbound",
        "bound well",
        "bound to two sockets",
        "bound to the other",
        "not known",
        "part of a node",
    ],
)
def test_a_rank_takes_the_near_cores_that_are_no_fewer_than_its_share(
    present: range, near: range, share: int, taken: range
) -> None:
    assert cores_to_take(present, near, share) == set(taken)


@given(CORES.filter(bool), CORES, st.integers(1, 256))
def test_no_choice_leaves_a_rank_without_cores_or_with_others_than_it_had(
    present: set[int], near: set[int], share: int
) -> None:
    taken = cores_to_take(present, near, share)
    assert taken <= present and len(taken) >= min(share, len(present))


def test_binding_moves_every_thread_and_keeps_the_number_of_a_rank_s_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved = dict[int, set[int]]()
    monkeypatch.setattr(os, "environ", {"LOCAL_WORLD_SIZE": "8"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(96)))
    monkeypatch.setattr(os, "sched_setaffinity", lambda task, cores: moved.update({task: cores}))
    monkeypatch.setattr(host_cores, "cores_near", lambda _: set(range(48)))
    bind_near(GPU)
    assert moved.keys() == {int(task) for task in os.listdir("/proc/self/task")}
    assert all(cores == set(range(48)) for cores in moved.values())
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(48)))
    assert cores_of_rank(os.environ) == 12, "its share of 96, of which four ranks share 48"


def test_a_rank_that_may_not_be_bound_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "environ", dict[str, str]())
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    monkeypatch.setattr(host_cores, "cores_near", lambda _: {0, 1, 2})
    bind_near(GPU)
    monkeypatch.setattr(os, "environ", {"LOCAL_WORLD_SIZE": "2"})
    monkeypatch.setattr(host_cores, "cores_near", lambda _: {0})
    bind_near(GPU)


@pytest.mark.gpu
def test_torch_tells_the_pci_slot_of_a_gpu() -> None:
    found = torch.cuda.get_device_properties(0)
    assert found.pci_domain_id >= 0 and found.pci_bus_id >= 0 and found.pci_device_id >= 0
    assert cores_near(torch.device("cuda", 0)) <= set(range(os.cpu_count() or 1))
