import pytest

from surgstream.trainer.health.nccl import (
    Transport,
    nccl_tells,
    read_transport,
    transport_of_rank,
)

INFINIBAND = """\
node1:71:71 [0] NCCL INFO NCCL_SOCKET_IFNAME set by environment to ^lo,docker
node1:71:71 [0] NCCL INFO Bootstrap: Using bond0:10.0.0.1<0>
node1:71:71 [0] NCCL INFO NCCL version 2.29.7+cuda13.0
node1:71:98 [0] NCCL INFO NET/IB : Using [0]mlx5_0:1/IB [1]mlx5_10:1/IB [RO]; OOB bond0:10.0.0.1<0>
node1:71:98 [0] NCCL INFO Using network IB
node1:71:98 [0] NCCL INFO NET/IB : GPU Direct RDMA Enabled for HCA 0 'mlx5_0'
node1:71:98 [0] NCCL INFO Channel 00/0 : 0[0] -> 8[0] [send] via NET/IB/0/GDRDMA
node1:71:98 [0] NCCL INFO Channel 01/0 : 0[0] -> 8[0] [send] via NET/IB/1(1)/GDRDMA/Shared
node1:71:98 [0] NCCL INFO Channel 00/0 : 0[0] -> 1[1] via P2P/CUMEM/read
node1:71:98 [0] NCCL INFO Channel 01/0 : 0[0] -> 1[1] via P2P/CUMEM
"""

SOCKET = """\
node1:71:98 [0] NCCL INFO NCCL version 2.26.2+cuda12.8
node1:71:98 [0] NCCL INFO Failed to open libibverbs.so[.1]
node1:71:98 [0] NCCL INFO NET/Socket : Using [0]bond0:10.0.0.1<0>
node1:71:98 [0] NCCL INFO Using network Socket
node1:71:98 [0] NCCL INFO Channel 00/0 : 0[0] -> 8[0] [send] via NET/Socket/0
node1:71:98 [0] NCCL INFO Channel 00 : 0[0] -> 1[1] via SHM/direct/direct
"""


def test_infiniband_with_gpu_direct() -> None:
    assert read_transport(INFINIBAND) == Transport(
        version="2.29.7+cuda13.0",
        network="IB",
        adapters=("mlx5_0:1", "mlx5_10:1"),
        gpu_direct=True,
        inside=("P2P/CUMEM",),
    )


def test_tcp_and_the_host_s_memory() -> None:
    assert read_transport(SOCKET) == Transport(
        version="2.26.2+cuda12.8", network="Socket", gpu_direct=False, inside=("SHM/direct",)
    )


def test_one_channel_through_the_host_is_not_gpu_direct() -> None:
    mixed = INFINIBAND.replace("NET/IB/0/GDRDMA", "NET/IB/0")
    found = read_transport(mixed)
    assert found and found.gpu_direct is False


def test_rails_and_plugins_have_longer_names() -> None:
    found = read_transport(
        "n:1:2 [0] NCCL INFO NET/IB : Using [0]mlx5_0:1:0/RoCE [1]mlx5_1:1:1:0/RoCE ; OOB e:1<0>\n"
        "n:1:2 [0] NCCL INFO Using network AWS Libfabric\n"
        "n:1:2 [0] NCCL INFO Channel 00/0 : 0[0] -> 8[0] [send] via NET/AWS Libfabric/0/GDRDMA\n"
    )
    assert found and found.network == "AWS Libfabric"
    assert found.adapters == ("mlx5_0:1", "mlx5_1:1") and found.gpu_direct is True


@pytest.mark.parametrize("text", ["", "GCC version 13", "node1:1:1 [0] NCCL INFO Bootstrap: no"])
def test_what_is_not_nccl_s_says_nothing(text: str) -> None:
    assert read_transport(text) is None


def test_one_node_alone_has_no_gpu_direct_to_speak_of() -> None:
    found = read_transport("\n".join(INFINIBAND.splitlines()[:6]))
    assert found and found.gpu_direct is None and found.inside == ()


def test_nccl_writes_into_memory_and_its_warnings_are_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    environment = {"NCCL_DEBUG": "WARN"}
    warning = "node1:71:98 [0] net_ib.cc:12 NCCL WARN NET/IB : no route"
    with nccl_tells(environment):
        assert environment["NCCL_DEBUG"] == "INFO"
        assert transport_of_rank(environment) is None, "it has said nothing yet"

        # As NCCL opens it
        with open(environment["NCCL_DEBUG_FILE"], "w") as file:
            file.write(f"{INFINIBAND}\n{warning}\n")
        found = transport_of_rank(environment)
        assert found and found.network == "IB"
    assert capsys.readouterr().err == f"{warning}\n"


@pytest.mark.parametrize(
    "environment",
    [{"NCCL_DEBUG": "INFO"}, {"NCCL_DEBUG": "TRACE"}, {"NCCL_DEBUG_FILE": "/dev/null"}],
)
def test_who_listens_to_nccl_goes_on_to(environment: dict[str, str]) -> None:
    before = dict(environment)
    with nccl_tells(environment):
        assert environment == before
        assert transport_of_rank(environment) is None
