"""Cases of the link layer: MAC addresses, tags, other protocols, QEMU's announcement, and what reaches the guest."""

from __future__ import annotations

from collections.abc import Iterator

from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6NDOptPrefixInfo
from scapy.layers.l2 import ARP, LLC, SNAP, STP, Dot3

from reconciler.nwfilter.battery import FOREIGN_MAC, ROUTED_IPV4, ROUTER_MAC, BatteryCase, Direction, Subject, Wanted
from reconciler.nwfilter.battery_frames import (
    ALL_NODES_MAC,
    ANYWHERE_IPV4,
    ANYWHERE_IPV6,
    BROADCAST_MAC,
    Layer,
    arp,
    ether,
    ipv4,
    ipv6,
    raw,
    tagged,
    udp,
)
from reconciler.nwfilter.frame import ETHERTYPES

_GROUP = "l2"
_BRIDGE_GROUP = "01:80:c2:00:00:00"
_LLDP_GROUP = "01:80:c2:00:00:0e"
_ETHERTYPES = {"lldp": 0x88CC, "pppoe": 0x8863, "mpls": 0x8847, "experimental": 0x88B5, "rarp-misprint": 0x0835}


def cases(subject: Subject) -> Iterator[BatteryCase]:
    yield from _own(subject)
    yield from _forged(subject)
    yield from _tagged(subject)
    yield from _other_protocols(subject)
    yield from _announcements(subject)
    yield from _to_the_guest(subject)


def own_packet(subject: Subject, label: str) -> Layer:
    """A datagram from an own address of any family, from a foreign one when there is none."""
    if subject.ipv4 or not subject.ipv6:
        return ipv4(subject.ipv4[0][0] if subject.ipv4 else subject.foreign_ipv4, udp(label))
    return ipv6(subject.global_ipv6, udp(label))


def _own(subject: Subject) -> Iterator[BatteryCase]:
    if not subject.ipv4 and not subject.ipv6:
        return
    for name, destination in (("unicast", ROUTER_MAC), ("broadcast", BROADCAST_MAC)):
        label = f"l2-{name}"
        yield BatteryCase(label, _GROUP, "pass", ether(subject.mac, own_packet(subject, label), destination))


def _forged(subject: Subject) -> Iterator[BatteryCase]:
    label = "l2-forged-mac"
    yield BatteryCase(label, _GROUP, "drop", ether(FOREIGN_MAC, own_packet(subject, label)))
    if subject.ipv4:
        label = "l2-forged-mac-arp"
        address = subject.ipv4[0][0]
        request = arp(label, 1, FOREIGN_MAC, address, ANYWHERE_IPV4)
        yield BatteryCase(label, _GROUP, "drop", ether(FOREIGN_MAC, request, BROADCAST_MAC))


def _tagged(subject: Subject) -> Iterator[BatteryCase]:
    def case(name: str, data: bytes) -> BatteryCase:
        return BatteryCase(f"l2-{name}", _GROUP, "drop", data)

    packet = own_packet(subject, "l2-vlan")
    yield case("vlan", ether(subject.mac, tagged(packet, 7)))
    yield case("vlan-priority", ether(subject.mac, tagged(packet, 0)))
    yield case("vlan-double", ether(subject.mac, tagged(tagged(packet, 8), 7, 0x8100)))
    yield case("vlan-service", ether(subject.mac, tagged(tagged(packet, 8), 7, 0x8100), ethertype=0x88A8))


def _other_protocols(subject: Subject) -> Iterator[BatteryCase]:
    bpdu = Dot3(src=subject.mac, dst=_BRIDGE_GROUP) / LLC() / STP(rootmac=subject.mac, bridgemac=subject.mac)
    yield BatteryCase("l2-stp", _GROUP, "drop", bytes(bpdu))
    lldp = ether(subject.mac, raw("l2-lldp-group"), _LLDP_GROUP, 0x88CC)
    yield BatteryCase("l2-lldp-group", _GROUP, "drop", lldp)
    llc = Dot3(src=subject.mac, dst=ROUTER_MAC) / LLC(dsap=0xE0, ssap=0xE0) / raw("l2-llc")
    yield BatteryCase("l2-llc", _GROUP, "drop", bytes(llc))
    code = ETHERTYPES["IPv4" if subject.ipv4 or not subject.ipv6 else "IPv6"]
    snap = LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(code=code) / own_packet(subject, "l2-snap")
    yield BatteryCase("l2-snap", _GROUP, "drop", bytes(Dot3(src=subject.mac, dst=ROUTER_MAC) / snap))
    for name, ethertype in _ETHERTYPES.items():
        label = f"l2-{name}"
        yield BatteryCase(label, _GROUP, "drop", ether(subject.mac, raw(label), BROADCAST_MAC, ethertype))


def _announcements(subject: Subject) -> Iterator[BatteryCase]:
    yield BatteryCase("rarp-own", "rarp", "pass", _announcement(subject.mac, subject.mac, "rarp-own"))
    yield BatteryCase("rarp-foreign", "rarp", "drop", _announcement(subject.mac, FOREIGN_MAC, "rarp-foreign"))
    reply = _announcement(subject.mac, subject.mac, "rarp-reply", operation=4)
    yield BatteryCase("rarp-reply", "rarp", "drop", reply)


def _announcement(source: str, announced: str, label: str, operation: int = 3) -> bytes:
    payload = ARP(op=operation, hwsrc=announced, hwdst=announced, psrc="0.0.0.0", pdst="0.0.0.0") / raw(label)
    return ether(source, payload, BROADCAST_MAC, 0x8035)


def _to_the_guest(subject: Subject) -> Iterator[BatteryCase]:
    def case(label: str, payload: Layer, destination: str) -> BatteryCase:
        return BatteryCase(label, "to-guest", "pass", ether(ROUTER_MAC, payload, destination), Direction.IN)

    yield case("in-arp-broadcast", arp("in-arp-broadcast", 1, ROUTER_MAC, ANYWHERE_IPV4, "198.51.100.2"), BROADCAST_MAC)
    if subject.ipv4:
        own = str(subject.ipv4[0][0])
        yield case("in-ipv4-unicast", ipv4(ANYWHERE_IPV4, udp("in-ipv4-unicast"), own), subject.mac)
        yield from _offers(subject, own)
        multicast = ipv4(ANYWHERE_IPV4, udp("in-ipv4-multicast"), "224.0.0.251")
        yield case("in-ipv4-multicast", multicast, "01:00:5e:00:00:fb")
    if subject.ipv6:
        unicast = ipv6(ANYWHERE_IPV6, udp("in-ipv6-unicast"), str(subject.global_ipv6))
        yield case("in-ipv6-unicast", unicast, subject.mac)
        advertisement = ICMPv6ND_RA() / ICMPv6NDOptPrefixInfo(prefix="2001:db8::", prefixlen=64)
        yield case("in-nd-ra", ipv6("fe80::1", advertisement, "ff02::1", hlim=255), ALL_NODES_MAC)


def _offers(subject: Subject, own: str) -> Iterator[BatteryCase]:
    """Answers of DHCP servers to the guest: of any, or of those that DHCPSERVER names."""

    def case(label: str, server: str, wanted: Wanted) -> BatteryCase:
        data = ether(ROUTER_MAC, ipv4(server, udp(label, 67, 68), own), subject.mac)
        return BatteryCase(label, "to-guest", wanted, data, Direction.IN)

    servers = subject.dhcp_servers or (ANYWHERE_IPV4,)
    yield case("in-dhcpv4-offer", servers[-1], "pass")
    if subject.dhcp_servers:
        yield case("in-dhcpv4-foreign-server", str(ROUTED_IPV4), "drop")
