"""The network interface by which gloo connects hosts: the one that leads to rank 0, unless the user names another."""

import ipaddress
import socket
from collections.abc import Mapping, MutableMapping

import psutil

from surgstream.trainer.errors import DistributedError

GLOO_INTERFACE = "GLOO_SOCKET_IFNAME"
"""The variable that gloo reads; without it gloo takes the interface of the host's own name, often the loopback."""

_OUTSIDE = "192.0.2.1"
"""An address that no host has (RFC 5737): the route to it is the default one."""

_INTERNET = (socket.AF_INET, socket.AF_INET6)


def choose_interface(environment: MutableMapping[str, str], master_addr: str) -> None:
    """Name the interface to gloo that leads to rank 0; where one is named already, check that this node has it.

    Args:
        environment: `os.environ`, which gloo reads.
        master_addr: The host of rank 0.

    Raises:
        DistributedError: This node has no such interface, or it has no address.
    """
    named = environment.get(GLOO_INTERFACE)
    if not named:
        if found := interface_to(master_addr):
            environment[GLOO_INTERFACE] = found
        return

    here = interfaces()
    for name in named.split(","):  # gloo takes several, too
        if name not in here.values():
            raise DistributedError(
                f"{GLOO_INTERFACE}: expected an interface of {socket.gethostname()} that has an "
                f"address ({', '.join(sorted(set(here.values())))}), got {name!r}; unset it, and "
                f"the one that leads to {master_addr} is taken"
            )


def interface_to(host: str) -> str | None:
    """The interface by which this node reaches a host; None where there is no way to it.

    Args:
        host: A name or an address.
    """
    address = own_address(host)
    # Debian's /etc/hosts gives a host's own name an address that is no other host's way to it.
    if address and _is_loopback(address) and not _is_loopback(host):
        address = own_address(_OUTSIDE) or address
    return interfaces().get(address) if address else None


def interfaces() -> dict[str, str]:
    """The interfaces of this node that have an address, by address."""
    return {
        address.address.partition("%")[0]: name
        for name, addresses in psutil.net_if_addrs().items()
        for address in addresses
        if address.family in _INTERNET
    }


def interface_in_words(environment: Mapping[str, str]) -> str:
    """The interface that gloo takes, and the one that it should if that is another."""
    named = environment.get(GLOO_INTERFACE) or "the interface of each host's name"
    master_addr = environment["MASTER_ADDR"]
    routed = interface_to(master_addr)
    if routed in (None, named):
        return named
    return f"{named} ({master_addr} is reached by {routed})"


def own_address(host: str) -> str | None:
    """The address that this node has on its way to a host. No packet is sent."""
    try:
        found = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, place = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(place)
            return str(probe.getsockname()[0]).partition("%")[0]
    except OSError:
        return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
