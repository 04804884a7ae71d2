"""The frames that an isolated guest may and may not send: cases with a stable id and the verdict that each must get.

The cases of one interface are made of its own addresses, with its neighbours' as the foreign ones. Their bytes are
built with scapy (the extra `frames`), which is imported only when a battery is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Literal, Protocol

from reconciler.errors import UsageError
from reconciler.model.guest import Interface, Role
from reconciler.nwfilter.decode import decode
from reconciler.nwfilter.frame import Frame

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Wanted = Literal["pass", "drop"]

FOREIGN_MAC = "02:00:00:00:00:66"
ROUTER_MAC = "02:00:00:00:00:01"
_SPARE_IPV4 = IPv4Address("192.0.2.66")
_SPARE_IPV6 = IPv6Address("2001:db8:ffff::66")
ROUTED_IPV4 = IPv4Address("203.0.113.66")
ROUTED_IPV6 = IPv6Address("2001:db8:fffe::66")
_NEVER_FORWARDED = tuple(
    map(ip_network, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/127", "fe80::/10", "ff00::/8"))
)
_SPARE_LINK_LOCAL = IPv6Address("fe80::66")


class Direction(StrEnum):
    """From the guest, or to it."""

    OUT = "out"
    IN = "in"


class Question(Protocol):
    """A frame with the verdict that it must get, however it was made."""

    @property
    def id(self) -> str: ...
    @property
    def expected(self) -> Wanted: ...
    @property
    def frame(self) -> Frame: ...
    @property
    def direction(self) -> Direction: ...
    @property
    def inexpressible(self) -> bool: ...


@dataclass(frozen=True)
class BatteryCase:
    """One frame with the verdict that it must get.

    `inexpressible` marks what no rule of nwfilter can tell from its permitted kin: it leaks until something else
    stops it.
    """

    id: str
    group: str
    expected: Wanted
    data: bytes
    direction: Direction = Direction.OUT
    inexpressible: bool = False

    @cached_property
    def frame(self) -> Frame:
        return decode(self.data)


@dataclass(frozen=True, slots=True)
class Subject:
    """The interface under test, and addresses that are not its own."""

    mac: str
    ipv4: tuple[IPv4Network, ...]
    ipv6: tuple[IPv6Network, ...]
    foreign_ipv4: IPv4Address
    foreign_ipv6: IPv6Address
    foreign_link_local: IPv6Address
    roles: frozenset[Role] = frozenset()
    surroundings: tuple[Network, ...] = ()
    dhcp_servers: tuple[str, ...] = ()

    def wanted(self, role: Role) -> Wanted:
        """Whether what only this role may send has to pass."""
        return "pass" if role in self.roles else "drop"

    def wanted_from(self, source: Address) -> Wanted:
        """Whether a packet from an address that is not its own has to pass: only one that a router forwards."""
        known = any(source.version == network.version for network in self.surroundings)
        inside = any(source in network for network in self.surroundings)
        return self.wanted(Role.ROUTER) if known and not inside and not _stays_on_its_link(source) else "drop"

    @property
    def link_local(self) -> IPv6Address:
        """The own link-local address; the first own one where there is none."""
        return next((network[0] for network in self.ipv6 if network.is_link_local), self.ipv6[0][0])

    @property
    def global_ipv6(self) -> IPv6Address:
        """The first own address that is not link-local; the link-local one where there is no other."""
        return next((network[0] for network in self.ipv6 if not network.is_link_local), self.link_local)


def battery(interface: Interface, neighbours: tuple[Address, ...] = ()) -> tuple[BatteryCase, ...]:
    """All cases of an interface, ids unique, in a stable order. Raises UsageError without scapy.

    The first address among the neighbours' that is not the interface's own serves as the foreign one of its kind;
    where there is none, an address next to an own one does.
    """
    only_build_frames()
    from reconciler.nwfilter import battery_ipv4, battery_ipv6, battery_link

    subject = subject_of(interface, neighbours)
    return (*battery_link.cases(subject), *battery_ipv4.cases(subject), *battery_ipv6.cases(subject))


def only_build_frames() -> None:
    """For sending, scapy would ask the kernel for its routes when it is imported. Raises `UsageError` without scapy."""
    try:
        from scapy.config import conf
    except ImportError:
        hint = "pip install 'nwfilter-reconciler[frames]'"
        raise UsageError("building test frames needs scapy, which is not installed", hint=hint) from None
    conf.route_autoload = conf.route6_autoload = False


def subject_of(interface: Interface, neighbours: tuple[Address, ...] = ()) -> Subject:
    """The interface with foreign addresses of each kind."""
    ipv4 = (a for a in neighbours if isinstance(a, IPv4Address))
    ipv6 = tuple(a for a in neighbours if isinstance(a, IPv6Address))
    return Subject(
        interface.mac,
        interface.ipv4,
        interface.ipv6,
        _foreign_ipv4(interface.ipv4, ipv4),
        _foreign_ipv6(interface.ipv6, (a for a in ipv6 if not a.is_link_local)),
        next((a for a in ipv6 if a.is_link_local and _is_foreign(a, interface.ipv6)), _SPARE_LINK_LOCAL),
        interface.roles,
        interface.surroundings,
        tuple(value for name, value in interface.parameters if name == "DHCPSERVER"),
    )


def _foreign_ipv4(own: tuple[IPv4Network, ...], neighbours: Iterator[IPv4Address]) -> IPv4Address:
    candidates: list[Address] = [*neighbours, *(address for network in own for address in outside_of(network))]
    return next((a for a in candidates if isinstance(a, IPv4Address) and _is_foreign(a, own)), _SPARE_IPV4)


def _foreign_ipv6(own: tuple[IPv6Network, ...], neighbours: Iterator[IPv6Address]) -> IPv6Address:
    beside = (address for network in own if not network.is_link_local for address in outside_of(network))
    candidates: list[Address] = [*neighbours, *beside]
    return next((a for a in candidates if isinstance(a, IPv6Address) and _is_foreign(a, own)), _SPARE_IPV6)


def _stays_on_its_link(address: Address) -> bool:
    return any(address in network for network in _NEVER_FORWARDED)


def _is_foreign(address: Address, own: tuple[IPv4Network, ...] | tuple[IPv6Network, ...]) -> bool:
    return not any(address in network for network in own)


def outside_of(network: IPv4Network | IPv6Network) -> tuple[Address, ...]:
    """The address just past the end of a network and the one just before its start, as far as there are any."""
    first, last = int(network.network_address), int(network.broadcast_address)
    kind = type(network.network_address)
    numbers = [last + 1] * (last < (1 << network.max_prefixlen) - 1) + [first - 1] * (first > 1)
    return tuple(kind(number) for number in numbers)
