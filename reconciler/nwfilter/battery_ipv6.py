"""Cases of IPv6: sources, Neighbour Discovery, extension headers, DHCPv6; and that none passes without IPv6."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address
from itertools import count

from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6MLDMultAddrRec,
    ICMPv6MLDone,
    ICMPv6MLReport,
    ICMPv6MLReport2,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6ND_RS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6NDOptUnknown,
)

from reconciler.model.guest import Role
from reconciler.nwfilter.battery import FOREIGN_MAC, ROUTED_IPV6, ROUTER_MAC, BatteryCase, Subject, Wanted, outside_of
from reconciler.nwfilter.battery_frames import (
    ALL_NODES_MAC,
    ANYWHERE_IPV6,
    Layer,
    cut_fragment,
    destination_options,
    ether,
    first_fragment,
    first_piece,
    hop_by_hop,
    ipv6,
    later_fragment,
    raw,
    tcp,
    udp,
)

_UNSPECIFIED = "::"
_ALL_NODES = "ff02::1"
_ALL_ROUTERS = "ff02::2"
_MLD_ROUTERS = "ff02::16"
_DHCP_SERVERS = "ff02::1:2"
_UDP, _ICMPV6 = 17, 58


def cases(subject: Subject) -> Iterator[BatteryCase]:
    if not subject.ipv6:
        yield from _without_ipv6(subject)
        return
    yield from _own_sources(subject)
    yield from _foreign_sources(subject)
    yield from _neighbours(subject)
    yield from _neighbour_forgeries(subject)
    yield from _inexpressible(subject)
    yield from _listeners(subject)
    yield from _extensions(subject)
    yield from _hidden_messages(subject)
    yield from _dhcp(subject)


def _case(
    subject: Subject,
    group: str,
    label: str,
    wanted: Wanted,
    payload: Layer,
    *,
    to: str = ROUTER_MAC,
    inexpressible: bool = False,
) -> BatteryCase:
    data = ether(subject.mac, payload, to)
    return BatteryCase(label, group, wanted, data, inexpressible=inexpressible)


def _without_ipv6(subject: Subject) -> Iterator[BatteryCase]:
    def case(label: str, payload: Layer) -> BatteryCase:
        return _case(subject, "families", label, "drop", payload, to=ALL_NODES_MAC)

    source = subject.foreign_link_local
    yield case("ipv6-none-udp", ipv6(subject.foreign_ipv6, udp("ipv6-none-udp")))
    yield case("ipv6-none-link-local", ipv6(source, udp("ipv6-none-link-local"), _ALL_NODES))
    yield case("ipv6-none-dad", _nd(_UNSPECIFIED, ICMPv6ND_NS(tgt=str(source)), _solicited(source)))
    yield case("ipv6-none-rs", _nd(source, ICMPv6ND_RS(), _ALL_ROUTERS))
    yield case("ipv6-none-ra", _nd(source, ICMPv6ND_RA(), _ALL_NODES))
    yield case("ipv6-none-mld", ipv6(_UNSPECIFIED, hop_by_hop(_report()), _MLD_ROUTERS, hlim=1))


def _own_ends(subject: Subject) -> tuple[IPv6Address, ...]:
    return tuple(dict.fromkeys(address for network in subject.ipv6 for address in (network[0], network[-1])))


def _own_sources(subject: Subject) -> Iterator[BatteryCase]:
    for address in _own_ends(subject):
        label = f"ipv6-own-{address}"
        yield _case(subject, "ipv6", label, "pass", ipv6(address, udp(label)))
    own = subject.global_ipv6
    yield _case(subject, "ipv6", "ipv6-own-tcp", "pass", ipv6(own, tcp("ipv6-own-tcp")))
    echo = ipv6(own, ICMPv6EchoRequest(data=b"ipv6-own-echo"))
    yield _case(subject, "ipv6", "ipv6-own-echo", "pass", echo)


def _foreign_sources(subject: Subject) -> Iterator[BatteryCase]:
    def case(label: str, source: IPv6Address | str, payload: Layer | None = None) -> BatteryCase:
        wanted = subject.wanted_from(IPv6Address(source))
        return _case(subject, "ipv6", label, wanted, ipv6(str(source), payload or udp(label)))

    around = (a for network in subject.ipv6 for a in outside_of(network) if isinstance(a, IPv6Address))
    for address in dict.fromkeys(a for a in around if not any(a in network for network in subject.ipv6)):
        yield case(f"ipv6-outside-{address}", address)
    foreign = subject.foreign_ipv6
    yield case("ipv6-foreign-udp", foreign)
    yield case("ipv6-foreign-tcp", foreign, tcp("ipv6-foreign-tcp"))
    yield case("ipv6-foreign-echo", foreign, ICMPv6EchoRequest(data=b"ipv6-foreign-echo"))
    yield case("ipv6-routed", ROUTED_IPV6)
    yield case("ipv6-foreign-link-local", subject.foreign_link_local)
    yield case("ipv6-multicast-source", "ff02::1")
    yield case("ipv6-mapped-source", "::ffff:192.0.2.66")
    yield case("ipv6-6to4-source", "2002:c000:242::66")
    yield case("ipv6-unspecified-source", _UNSPECIFIED)
    yield case("ipv6-unspecified-echo", _UNSPECIFIED, ICMPv6EchoRequest(data=b"ipv6-unspecified-echo"))


def _nd(source: IPv6Address | str, message: Layer, destination: str) -> Layer:
    return ipv6(source, message, destination, hlim=255)


def _solicited(target: IPv6Address) -> str:
    """The multicast address at which an owner of the target listens (RFC 4291)."""
    return str(IPv6Address(int(IPv6Address("ff02::1:ff00:0")) | int(target) & 0xFFFFFF))


def _advertisement(target: IPv6Address, mac: str) -> Layer:
    return ICMPv6ND_NA(R=0, S=0, O=1, tgt=str(target)) / ICMPv6NDOptDstLLAddr(lladdr=mac)


def _solicitation(target: IPv6Address, mac: str) -> Layer:
    return ICMPv6ND_NS(tgt=str(target)) / ICMPv6NDOptSrcLLAddr(lladdr=mac)


def _neighbours(subject: Subject) -> Iterator[BatteryCase]:
    def case(label: str, payload: Layer) -> BatteryCase:
        return _case(subject, "nd", label, "pass", payload, to=ALL_NODES_MAC)

    anywhere = IPv6Address(ANYWHERE_IPV6)
    for address in dict.fromkeys((subject.link_local, subject.global_ipv6)):
        dad = _nd(_UNSPECIFIED, ICMPv6ND_NS(tgt=str(address)), _solicited(address))
        yield case(f"nd-dad-{address}", dad)
        query = _solicitation(anywhere, subject.mac)
        yield case(f"nd-ns-{address}", _nd(address, query, _solicited(anywhere)))
        yield case(f"nd-na-{address}", _nd(address, _advertisement(address, subject.mac), _ALL_NODES))
    solicitation = ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr=subject.mac)
    yield case("nd-rs", _nd(subject.link_local, solicitation, _ALL_ROUTERS))
    own = subject.global_ipv6
    yield case("nd-rs-plain", _nd(subject.link_local, ICMPv6ND_RS(), _ALL_ROUTERS))
    yield case("nd-na-plain", _nd(own, ICMPv6ND_NA(R=0, tgt=str(own)), _ALL_NODES))
    nonce = ICMPv6NDOptUnknown(type=14, len=1, data=b"nonce!")
    yield case("nd-dad-nonce", _nd(_UNSPECIFIED, ICMPv6ND_NS(tgt=str(own)) / nonce, _solicited(own)))


def _neighbour_forgeries(subject: Subject) -> Iterator[BatteryCase]:
    def case(label: str, source: IPv6Address | str, message: Layer, destination: str = _ALL_NODES) -> BatteryCase:
        wanted = subject.wanted_from(IPv6Address(source))
        return _case(subject, "nd", label, wanted, _nd(source, message, destination), to=ALL_NODES_MAC)

    def of_a_router(label: str, message: Layer) -> BatteryCase:
        wanted = subject.wanted(Role.ROUTER)
        return _case(subject, "nd", label, wanted, _nd(own, message, _ALL_NODES), to=ALL_NODES_MAC)

    own, foreign = subject.link_local, subject.foreign_ipv6
    redirect = ICMPv6ND_Redirect(tgt=str(own), dst=ANYWHERE_IPV6)
    yield of_a_router("nd-ra", ICMPv6ND_RA())
    yield case("nd-ra-unspecified", _UNSPECIFIED, ICMPv6ND_RA())
    yield case("nd-ra-foreign", subject.foreign_link_local, ICMPv6ND_RA())
    yield of_a_router("nd-redirect", redirect)
    yield case("nd-redirect-foreign", subject.foreign_link_local, redirect)
    yield case("nd-na-foreign-source", foreign, _advertisement(foreign, subject.mac))
    yield case("nd-na-unspecified", _UNSPECIFIED, _advertisement(own, subject.mac))
    query = _solicitation(IPv6Address(ANYWHERE_IPV6), subject.mac)
    yield case("nd-ns-foreign-source", foreign, query, _solicited(IPv6Address(ANYWHERE_IPV6)))
    yield case("nd-rs-unspecified", _UNSPECIFIED, ICMPv6ND_RS(), _ALL_ROUTERS)


def _inexpressible(subject: Subject) -> Iterator[BatteryCase]:
    """nwfilter looks at ICMPv6 type and code, not at what follows them."""

    def case(label: str, message: Layer, destination: str = _ALL_NODES) -> BatteryCase:
        payload = _nd(subject.link_local, message, destination)
        return _case(subject, "nd", label, "drop", payload, to=ALL_NODES_MAC, inexpressible=True)

    own, foreign = subject.link_local, subject.foreign_ipv6
    yield case("nd-na-foreign-target", _advertisement(foreign, subject.mac))
    yield case("nd-na-foreign-option", _advertisement(own, FOREIGN_MAC))
    yield case("nd-ns-foreign-option", _solicitation(foreign, FOREIGN_MAC), _solicited(foreign))
    option = ICMPv6NDOptSrcLLAddr(lladdr=FOREIGN_MAC)
    yield case("nd-rs-foreign-option", ICMPv6ND_RS() / option, _ALL_ROUTERS)
    probe = _nd(_UNSPECIFIED, ICMPv6ND_NS(tgt=str(foreign)), _solicited(foreign))
    yield _case(subject, "nd", "nd-dad-foreign-target", "drop", probe, to=ALL_NODES_MAC, inexpressible=True)
    spare = ICMPv6NDOptUnknown(type=253, len=1, data=b"\0" * 6)
    second = ICMPv6ND_NA(R=0, S=0, O=1, tgt=str(own)) / spare / ICMPv6NDOptDstLLAddr(lladdr=FOREIGN_MAC)
    yield case("nd-na-foreign-second-option", second)
    claim = _advertisement(foreign, subject.mac)
    yield case("nd-na-foreign-target-hop-by-hop", hop_by_hop(claim))
    yield case("nd-na-foreign-target-destination", destination_options(claim))
    yield case("nd-na-foreign-target-fragment", first_fragment(claim, 12, more=False))
    for name, message in (("ns", _solicitation(foreign, FOREIGN_MAC)), ("na", claim)):
        yield case(f"nd-{name}-cut", first_piece(message, _ICMPV6, 15))
    # The first piece ends within the header before the message: only who has all pieces can tell what it is.
    yield case("ext-hidden-message", cut_fragment(_ICMPV6, 13))
    yield case("ext-hidden-datagram", cut_fragment(_UDP, 14))


def _report() -> Layer:
    return ICMPv6MLReport2(records=[ICMPv6MLDMultAddrRec(rtype=4, dst="ff02::1:ff00:1")])


def _listeners(subject: Subject) -> Iterator[BatteryCase]:
    reports = {"report-v2": (_report(), _MLD_ROUTERS), "report-v1": (ICMPv6MLReport(mladdr="ff02::fb"), "ff02::fb")}
    reports["done"] = (ICMPv6MLDone(mladdr="ff02::fb"), _ALL_ROUTERS)
    for name, (message, destination) in reports.items():
        for kind, source in (("", str(subject.link_local)), ("-unspecified", _UNSPECIFIED)):
            payload = ipv6(source, hop_by_hop(message), destination, hlim=1)
            yield _case(subject, "nd", f"mld-{name}{kind}", "pass", payload, to=ALL_NODES_MAC)


def _extensions(subject: Subject) -> Iterator[BatteryCase]:
    identifiers = count(1)
    sources: tuple[tuple[str, IPv6Address, Wanted], ...] = (
        ("own", subject.global_ipv6, "pass"),
        ("foreign", subject.foreign_ipv6, subject.wanted_from(subject.foreign_ipv6)),
    )
    for name, source, wanted in sources:
        for label, payload in _behind_extensions(f"ext-{name}", identifiers):
            yield _case(subject, "extensions", label, wanted, ipv6(source, payload))


def _behind_extensions(prefix: str, identifiers: Iterator[int]) -> Iterator[tuple[str, Layer]]:
    yield f"{prefix}-hop-by-hop", hop_by_hop(udp(f"{prefix}-hop-by-hop"))
    yield f"{prefix}-destination", destination_options(udp(f"{prefix}-destination"))
    yield f"{prefix}-fragment-first", first_fragment(udp(f"{prefix}-fragment-first"), next(identifiers))
    label = f"{prefix}-fragment-later"
    yield label, later_fragment(label, _UDP, next(identifiers))


def _hidden_messages(subject: Subject) -> Iterator[BatteryCase]:
    """Router Advertisements and Redirects behind extension headers."""
    redirect = ICMPv6ND_Redirect(tgt=str(subject.link_local), dst=ANYWHERE_IPV6)
    for name, message in (("ra", ICMPv6ND_RA()), ("redirect", redirect)):
        wrapped = {
            "hop-by-hop": hop_by_hop(message),
            "destination": destination_options(message),
            "fragment": first_fragment(message, 7, more=False),
            "fragment-first": first_fragment(_padded(message), 8),
            "several": hop_by_hop(destination_options(first_fragment(message, 9, more=False))),
        }
        for kind, payload in wrapped.items():
            packet = _nd(subject.link_local, payload, _ALL_NODES)
            label, wanted = f"ext-{name}-{kind}", subject.wanted(Role.ROUTER)
            yield _case(subject, "extensions", label, wanted, packet, to=ALL_NODES_MAC)


def _padded(message: Layer) -> Layer:
    return message / ICMPv6NDOptUnknown(type=253, len=2, data=b"\0" * 14) / raw("")


def _dhcp(subject: Subject) -> Iterator[BatteryCase]:
    def case(label: str, wanted: Wanted, payload: Layer, destination: str) -> BatteryCase:
        packet = ipv6(subject.link_local, payload, destination)
        return _case(subject, "dhcpv6", label, wanted, packet, to="33:33:00:01:00:02")

    yield case("dhcpv6-client", "pass", udp("dhcpv6-client", 546, 547), _DHCP_SERVERS)
    server = subject.wanted(Role.DHCP_SERVER)
    yield case("dhcpv6-server", server, udp("dhcpv6-server", 547, 546), str(subject.foreign_link_local))
    hidden = hop_by_hop(udp("dhcpv6-server-hidden", 547, 546))
    yield case("dhcpv6-server-hidden", server, hidden, str(subject.foreign_link_local))
    fragment = first_fragment(udp("dhcpv6-server-fragment", 547, 546), 11)
    yield case("dhcpv6-server-fragment", server, fragment, str(subject.foreign_link_local))
