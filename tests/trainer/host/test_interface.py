"""The interface for gloo, on hosts of made-up addresses and on this one."""

import socket

import pytest

from surgstream.trainer.errors import DistributedError
from surgstream.trainer.host import interface as host
from surgstream.trainer.host.interface import choose_interface, interface_in_words, interface_to

ADDRESSES = {"127.0.0.1": "lo", "10.0.0.4": "eth0", "10.1.0.4": "ib0", "fd00::4": "eth0"}


@pytest.fixture
def routes(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """This host's own address on its way to others: the others by name, and `elsewhere`."""
    own: dict[str, str | None] = {
        "node1": "10.0.0.4",
        "192.0.2.1": "10.0.0.4",
        "127.0.0.1": "127.0.0.1",
    }
    monkeypatch.setattr(host, "interfaces", lambda: ADDRESSES)
    monkeypatch.setattr(host, "own_address", own.get)
    return own


def test_gloo_takes_the_interface_that_leads_to_rank_0(routes: dict[str, str | None]) -> None:
    environment: dict[str, str] = {}
    choose_interface(environment, "node1")
    assert environment == {"GLOO_SOCKET_IFNAME": "eth0"}


def test_a_host_whose_own_name_is_a_loopback_takes_the_default_route(
    routes: dict[str, str | None],
) -> None:
    routes["node1"] = "127.0.0.1"
    assert interface_to("node1") == "eth0"
    routes["192.0.2.1"] = None
    assert interface_to("node1") == "lo", "a host without a network has nobody else to reach"
    assert interface_to("127.0.0.1") == "lo", "all ranks are on this host"


def test_without_a_way_to_rank_0_gloo_is_told_nothing(routes: dict[str, str | None]) -> None:
    environment: dict[str, str] = {}
    choose_interface(environment, "unknown")
    assert environment == {}


@pytest.mark.parametrize("named", ["ib0", "eth0,ib0"])
def test_what_the_user_names_stays(named: str, routes: dict[str, str | None]) -> None:
    environment = {"GLOO_SOCKET_IFNAME": named}
    choose_interface(environment, "node1")
    assert environment == {"GLOO_SOCKET_IFNAME": named}


@pytest.mark.parametrize("named", ["bond0", "eth0,bond0"])
def test_an_interface_that_is_not_there_is_an_error_that_names_those_that_are(
    named: str, routes: dict[str, str | None]
) -> None:
    expected = (
        r"GLOO_SOCKET_IFNAME: expected an interface of .* \(eth0, ib0, lo\), got 'bond0'; unset it"
    )
    with pytest.raises(DistributedError, match=expected):
        choose_interface({"GLOO_SOCKET_IFNAME": named}, "node1")


def test_another_interface_than_the_route_s_is_told_with_the_route_s(
    routes: dict[str, str | None],
) -> None:
    words = {"MASTER_ADDR": "node1"}
    assert interface_in_words({**words, "GLOO_SOCKET_IFNAME": "eth0"}) == "eth0"
    assert (
        interface_in_words({**words, "GLOO_SOCKET_IFNAME": "ib0"})
        == "ib0 (node1 is reached by eth0)"
    )


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1"])
def test_this_host_reaches_itself_by_its_loopback(address: str) -> None:
    assert interface_to(address) in {name for _, name in socket.if_nameindex()}
    assert interface_to(address) == host.interfaces()["127.0.0.1"]
