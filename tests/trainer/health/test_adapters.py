from pathlib import Path

import pytest

from surgstream.trainer.health.adapters import Adapter, find_adapters, is_chosen

PORTS = {
    "mlx5_0/1": ("4: ACTIVE", "5: LinkUp", "400 Gb/sec (4X NDR)"),
    "mlx5_1/1": ("4: ACTIVE", "5: LinkUp", "200 Gb/sec (4X HDR)"),
    "mlx5_10/1": ("1: DOWN", "2: Polling", "10 Gb/sec (4X SDR)"),
    "bnxt_re0/2": ("4: ACTIVE", "5: LinkUp", "2.5 Gb/sec (1X SDR)"),
}


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """The kernel's files of four ports."""
    for port, (state, wire, rate) in PORTS.items():
        adapter, number = port.split("/")
        folder = tmp_path / adapter / "ports" / number
        folder.mkdir(parents=True)
        (folder / "state").write_text(f"{state}\n")
        (folder / "phys_state").write_text(f"{wire}\n")
        (folder / "rate").write_text(f"{rate}\n")
    return tmp_path


def test_ports_are_listed_with_state_and_rate(sysfs: Path) -> None:
    assert find_adapters({}, sysfs) == (
        Adapter(name="bnxt_re0:2", state="ACTIVE", gbit_per_second=2.5),
        Adapter(name="mlx5_0:1", state="ACTIVE", gbit_per_second=400.0),
        Adapter(name="mlx5_1:1", state="ACTIVE", gbit_per_second=200.0),
        Adapter(name="mlx5_10:1", state="DOWN (Polling)", gbit_per_second=0.0),
    )


def test_those_are_listed_that_nccl_takes(sysfs: Path) -> None:
    chosen = find_adapters({"NCCL_IB_HCA": "mlx5_1"}, sysfs)
    assert [port.name for port in chosen] == ["mlx5_1:1", "mlx5_10:1"]
    assert find_adapters({"NCCL_IB_DISABLE": "1"}, sysfs) == ()
    assert len(find_adapters({"NCCL_IB_DISABLE": "0"}, sysfs)) == len(PORTS)


def test_a_node_may_have_none_and_a_port_may_go(sysfs: Path, tmp_path: Path) -> None:
    assert find_adapters({}, tmp_path / "nothing") == ()
    (sysfs / "mlx5_0" / "ports" / "1" / "rate").unlink()
    assert "mlx5_0:1" not in {port.name for port in find_adapters({}, sysfs)}


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ("", {"mlx5_0:1", "mlx5_0:2", "mlx5_10:1"}),
        ("mlx5", {"mlx5_0:1", "mlx5_0:2", "mlx5_10:1"}),
        ("mlx5_1", {"mlx5_10:1"}),
        ("=mlx5_1", set()),
        ("=mlx5_0:2,mlx5_10", {"mlx5_0:2", "mlx5_10:1"}),
        ("^mlx5_0:1", {"mlx5_0:2", "mlx5_10:1"}),
        ("^=mlx5_1,mlx5_10", {"mlx5_0:1", "mlx5_0:2"}),
        ("^", set()),
    ],
)
def test_the_choice_of_adapters_is_read_as_nccl_reads_it(choice: str, chosen: set[str]) -> None:
    names = ("mlx5_0:1", "mlx5_0:2", "mlx5_10:1")
    assert {name for name in names if is_chosen(name, choice)} == chosen
