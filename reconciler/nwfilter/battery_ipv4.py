"""Cases of IPv4: ARP, sources, fragments, DHCP; and that nothing of it passes for an interface without IPv4."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from itertools import count
from typing import Any

from scapy.layers.inet import ICMP, IP, UDP, IPOption_RR
from scapy.layers.l2 import ARP

from reconciler.model.guest import Role
from reconciler.nwfilter.battery import FOREIGN_MAC, ROUTED_IPV4, ROUTER_MAC, BatteryCase, Subject, Wanted, outside_of
from reconciler.nwfilter.battery_frames import (
    ANYWHERE_IPV4,
    BROADCAST_MAC,
    Layer,
    arp,
    ether,
    igmp_report,
    ipv4,
    raw,
    tcp,
    udp,
)

_ANY = "0.0.0.0"
_LIMITED_BROADCAST = "255.255.255.255"
_REQUEST, _REPLY = 1, 2


def cases(subject: Subject) -> Iterator[BatteryCase]:
    if not subject.ipv4:
        yield from _without_ipv4(subject)
        return
    yield from _arp(subject)
    yield from _arp_forgeries(subject)
    yield from _own_sources(subject)
    yield from _edges(subject)
    yield from _foreign_sources(subject)
    yield from _fragments(subject)
    yield from _dhcp(subject)


def _own_ends(subject: Subject) -> tuple[IPv4Address, ...]:
    """First and last address of each own network, each once."""
    return tuple(dict.fromkeys(address for network in subject.ipv4 for address in (network[0], network[-1])))


def _foreign_edges(subject: Subject) -> tuple[IPv4Address, ...]:
    """The addresses just outside own networks that are in no other of them."""
    around = (a for network in subject.ipv4 for a in outside_of(network) if isinstance(a, IPv4Address))
    return tuple(dict.fromkeys(a for a in around if not any(a in network for network in subject.ipv4)))


def _without_ipv4(subject: Subject) -> Iterator[BatteryCase]:
    def case(label: str, payload: Layer, destination: str = BROADCAST_MAC) -> BatteryCase:
        return BatteryCase(label, "families", "drop", ether(subject.mac, payload, destination))

    foreign = subject.foreign_ipv4
    yield case("ipv4-none-udp", ipv4(foreign, udp("ipv4-none-udp")), ROUTER_MAC)
    yield case("ipv4-none-dhcp", ipv4(_ANY, udp("ipv4-none-dhcp", 68, 67), _LIMITED_BROADCAST))
    yield case("ipv4-none-igmp", ipv4(_ANY, igmp_report(), "224.0.0.251", proto=2, ttl=1))
    yield case("ipv4-none-arp", arp("ipv4-none-arp", _REQUEST, subject.mac, foreign, ANYWHERE_IPV4))
    yield case("ipv4-none-arp-probe", arp("ipv4-none-arp-probe", _REQUEST, subject.mac, _ANY, foreign))


def _arp_case(subject: Subject, label: str, wanted: Wanted, payload: Layer) -> BatteryCase:
    return BatteryCase(label, "arp", wanted, ether(subject.mac, payload, BROADCAST_MAC))


def _arp(subject: Subject) -> Iterator[BatteryCase]:
    for address in _own_ends(subject):
        for name, operation in (("request", _REQUEST), ("reply", _REPLY)):
            label = f"arp-{name}-{address}"
            payload = arp(label, operation, subject.mac, address, ANYWHERE_IPV4)
            yield _arp_case(subject, label, "pass", payload)
    own = subject.ipv4[0][0]
    yield _arp_case(subject, "arp-probe", "pass", arp("arp-probe", _REQUEST, subject.mac, _ANY, own))
    announcement = arp("arp-announcement", _REQUEST, subject.mac, own, own)
    yield _arp_case(subject, "arp-announcement", "pass", announcement)


def _arp_forgeries(subject: Subject) -> Iterator[BatteryCase]:
    def case(label: str, operation: int, sender: str, address: IPv4Address | str, target: object) -> BatteryCase:
        return _arp_case(subject, label, "drop", arp(label, operation, sender, address, str(target)))

    own, foreign = subject.ipv4[0][0], subject.foreign_ipv4
    yield case("arp-request-foreign", _REQUEST, subject.mac, foreign, ANYWHERE_IPV4)
    yield case("arp-reply-foreign", _REPLY, subject.mac, foreign, ANYWHERE_IPV4)
    yield case("arp-gratuitous-foreign", _REQUEST, subject.mac, foreign, foreign)
    yield case("arp-gratuitous-reply-foreign", _REPLY, subject.mac, foreign, foreign)
    yield case("arp-reply-zero", _REPLY, subject.mac, _ANY, ANYWHERE_IPV4)
    yield case("arp-sender-mac-foreign", _REQUEST, FOREIGN_MAC, own, ANYWHERE_IPV4)
    yield case("arp-reply-mac-foreign", _REPLY, FOREIGN_MAC, own, ANYWHERE_IPV4)
    yield case("arp-probe-mac-foreign", _REQUEST, FOREIGN_MAC, _ANY, own)
    for address in _foreign_edges(subject):
        yield case(f"arp-outside-{address}", _REQUEST, subject.mac, address, ANYWHERE_IPV4)
    odd = ARP(op=_REPLY, hwlen=8, hwsrc=b"\2\0\0\0\0\x66\0\0", psrc=str(own), hwdst=b"\0" * 8, pdst=ANYWHERE_IPV4)
    yield _arp_case(subject, "arp-odd-hardware-length", "drop", odd / raw("arp-odd-hardware-length"))


def _ipv4_case(subject: Subject, label: str, wanted: Wanted, payload: Layer, to: str = ROUTER_MAC) -> BatteryCase:
    return BatteryCase(label, "ipv4", wanted, ether(subject.mac, payload, to))


def _own_sources(subject: Subject) -> Iterator[BatteryCase]:
    for address in _own_ends(subject):
        label = f"ipv4-own-{address}"
        yield _ipv4_case(subject, label, "pass", ipv4(address, udp(label)))
    own = subject.ipv4[0][0]
    yield _ipv4_case(subject, "ipv4-own-tcp", "pass", ipv4(own, tcp("ipv4-own-tcp")))
    yield _ipv4_case(subject, "ipv4-own-echo", "pass", ipv4(own, ICMP() / raw("ipv4-own-echo")))
    igmp = ipv4(own, igmp_report(), "224.0.0.251", proto=2, ttl=1)
    yield _ipv4_case(subject, "ipv4-own-igmp", "pass", igmp, "01:00:5e:00:00:fb")
    options = ipv4(own, udp("ipv4-own-options"), options=[IPOption_RR(routers=["0.0.0.0"])])
    yield _ipv4_case(subject, "ipv4-own-options", "pass", options)


def _edges(subject: Subject) -> Iterator[BatteryCase]:
    for address in _foreign_edges(subject):
        label = f"ipv4-outside-{address}"
        yield _ipv4_case(subject, label, subject.wanted_from(address), ipv4(address, udp(label)))


def _foreign_sources(subject: Subject) -> Iterator[BatteryCase]:
    def case(label: str, source: IPv4Address | str, payload: Layer, **fields: Any) -> BatteryCase:
        wanted = subject.wanted_from(IPv4Address(source))
        return _ipv4_case(subject, label, wanted, ipv4(source, payload, **fields))

    foreign = subject.foreign_ipv4
    yield case("ipv4-foreign-udp", foreign, udp("ipv4-foreign-udp"))
    yield case("ipv4-foreign-tcp", foreign, tcp("ipv4-foreign-tcp"))
    yield case("ipv4-foreign-dhcp", foreign, udp("ipv4-foreign-dhcp", 68, 67))
    quoted = IP(src=ANYWHERE_IPV4, dst=str(foreign)) / UDP(sport=53, dport=40000)
    yield case("ipv4-foreign-icmp-error", foreign, ICMP(type=3, code=3) / quoted)
    options = [IPOption_RR(routers=["0.0.0.0"])]
    yield case("ipv4-foreign-options", foreign, udp("ipv4-foreign-options"), options=options)
    yield case("ipv4-routed", ROUTED_IPV4, udp("ipv4-routed"))
    yield case("ipv4-zero-source", _ANY, udp("ipv4-zero-source"))
    yield case("ipv4-multicast-source", "224.0.0.1", udp("ipv4-multicast-source"))
    yield case("ipv4-broadcast-source", _LIMITED_BROADCAST, udp("ipv4-broadcast-source"))


def _fragments(subject: Subject) -> Iterator[BatteryCase]:
    identifiers = count(1)
    sources: tuple[tuple[str, IPv4Address, Wanted], ...] = (
        ("own", subject.ipv4[0][0], "pass"),
        ("foreign", subject.foreign_ipv4, subject.wanted_from(subject.foreign_ipv4)),
    )
    for name, source, wanted in sources:
        first, later = f"ipv4-fragment-{name}-first", f"ipv4-fragment-{name}-later"
        start = ipv4(source, udp(first), flags="MF", id=next(identifiers))
        yield _ipv4_case(subject, first, wanted, start)
        rest = ipv4(source, raw(later), frag=100, proto=17, id=next(identifiers))
        yield _ipv4_case(subject, later, wanted, rest)


def _dhcp(subject: Subject) -> Iterator[BatteryCase]:
    def case(label: str, wanted: Wanted, payload: Layer, to: str = BROADCAST_MAC) -> BatteryCase:
        return BatteryCase(label, "dhcpv4", wanted, ether(subject.mac, payload, to))

    own = subject.ipv4[0][0]
    discover = ipv4(_ANY, udp("dhcpv4-discover", 68, 67), _LIMITED_BROADCAST)
    yield case("dhcpv4-discover", "pass", discover)
    yield case("dhcpv4-renew", "pass", ipv4(own, udp("dhcpv4-renew", 68, 67)), ROUTER_MAC)
    server = subject.wanted(Role.DHCP_SERVER)
    answer = ipv4(own, udp("dhcpv4-server", 67, 68), _LIMITED_BROADCAST)
    yield case("dhcpv4-server", server, answer)
    yield case("dhcpv4-server-unicast", server, ipv4(own, udp("dhcpv4-server-unicast", 67, 68)), ROUTER_MAC)
    stolen = ipv4(subject.foreign_ipv4, udp("dhcpv4-server-foreign", 67, 68), _LIMITED_BROADCAST)
    yield case("dhcpv4-server-foreign", "drop", stolen)
    routed = ipv4(ROUTED_IPV4, udp("dhcpv4-server-routed", 67, 68), _LIMITED_BROADCAST)
    yield case("dhcpv4-server-routed", "drop", routed)
    zero = ipv4(_ANY, udp("dhcpv4-server-zero", 67, 68), _LIMITED_BROADCAST)
    yield case("dhcpv4-server-zero", "drop", zero)
    fragment = ipv4(own, udp("dhcpv4-server-fragment", 67, 68), _LIMITED_BROADCAST, flags="MF", id=99)
    yield case("dhcpv4-server-fragment", server, fragment)
    options = [IPOption_RR(routers=["0.0.0.0"])]
    recorded = ipv4(own, udp("dhcpv4-server-options", 67, 68), _LIMITED_BROADCAST, options=options)
    yield case("dhcpv4-server-options", server, recorded)
    other = ipv4(_ANY, udp("dhcpv4-zero-other-port", 68, 53), _LIMITED_BROADCAST)
    yield case("dhcpv4-zero-other-port", "drop", other)
