"""The bytes of a frame to the fields that ebtables and iptables see.

Sources: Linux, net/bridge/netfilter/ebt_{ip,ip6,arp,vlan,stp}.c, ipv6_skip_exthdr() in net/ipv6/exthdrs_core.c,
skb_vlan_untag() and vlan_set_encap_proto(). ebtables 1.8 over nftables runs these same matches.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from reconciler.nwfilter.frame import Arp, Bpdu, BpduConfig, Frame, Packet, Payload, Transport, Vlan

HEADER = 14
_VLAN_TAGS = (0x8100, 0x88A8)
_LEAST_ETHERTYPE = 0x600
_8022 = 0x0004
_8023 = 0x0001

_ICMP, _IGMP, _TCP, _UDP, _DCCP, _ICMPV6, _SCTP, _UDPLITE = 1, 2, 6, 17, 33, 58, 132, 136
_WITH_PORTS = (_TCP, _UDP, _DCCP, _SCTP, _UDPLITE)

_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _NO_NEXT, _DESTINATION = 0, 43, 44, 51, 59, 60
_EXTENSIONS = (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _NO_NEXT, _DESTINATION)

_BPDU_HEADER = bytes((0x42, 0x42, 0x03, 0x00, 0x00, 0x00))
_BPDU_CONFIG = struct.Struct("!BH6sIH6sHHHHH")


def decode(data: bytes) -> Frame:
    """A frame from its bytes, without preamble and checksum. ValueError when not even the header is there."""
    if len(data) < HEADER:
        raise ValueError(f"a frame has at least {HEADER} bytes, not {len(data)}")
    (ethertype,) = struct.unpack_from("!H", data, 12)
    network = data[HEADER + 4 :] if ethertype in _VLAN_TAGS else data[HEADER:]
    return Frame(data[6:12].hex(":"), data[:6].hex(":"), ethertype, _payload(ethertype, data[HEADER:]), network)


def _payload(ethertype: int, data: bytes) -> Payload | None:
    if ethertype in (0x0806, 0x8035):
        return _arp(data)
    if ethertype == 0x0800:
        return _ipv4(data)
    if ethertype == 0x86DD:
        return _ipv6(data)
    if ethertype in _VLAN_TAGS:
        return _vlan(data)
    return _bpdu(data)


def _vlan(data: bytes) -> Vlan | None:
    if len(data) < 4:
        return None
    tag, inner = struct.unpack_from("!HH", data)
    if inner < _LEAST_ETHERTYPE:
        inner = _8023 if data[4:6] == b"\xff\xff" else _8022
    return Vlan(tag & 0x0FFF, tag >> 13, inner)


def _bpdu(data: bytes) -> Bpdu | None:
    """ebt_stp expects one byte less of header than the standard has, so it reads a version as the type."""
    if data[:6] != _BPDU_HEADER:
        return None
    if len(data) < 6 + _BPDU_CONFIG.size:
        return Bpdu(0, None)
    fields = _BPDU_CONFIG.unpack_from(data, 6)
    flags, root_priority, root, cost, sender_priority, sender, *rest = fields
    config = BpduConfig(flags, root_priority, root.hex(":"), cost, sender_priority, sender.hex(":"), *rest)
    return Bpdu(0, config)


def _arp(data: bytes) -> Arp | None:
    if len(data) < 8:
        return None
    hardware, protocol, mac_length, ip_length, operation = struct.unpack_from("!HHBBH", data)
    sender_ip = target_ip = None
    end = 8 + 2 * mac_length + 8
    if (ip_length, protocol) == (4, 0x0800) and len(data) >= end:
        sender_ip = IPv4Address(data[8 + mac_length : 12 + mac_length])
        target_ip = IPv4Address(data[end - 4 : end])
    sender_mac = target_mac = None
    if (mac_length, hardware) == (6, 1):
        sender_mac = _mac(data, 8)
        target_mac = _mac(data, 14 + ip_length)
    return Arp(operation, sender_mac, sender_ip, target_mac, target_ip, hardware, protocol)


def _mac(data: bytes, offset: int) -> str | None:
    found = data[offset : offset + 6]
    return found.hex(":") if len(found) == 6 else None


def _ipv4(data: bytes) -> Packet | None:
    if len(data) < 20:
        return None
    length = (data[0] & 0x0F) * 4
    (fragment,) = struct.unpack_from("!H", data, 6)
    transport = Transport(data[9]) if fragment & 0x1FFF else _transport(data[9], data[length:])
    return Packet(IPv4Address(data[12:16]), IPv4Address(data[16:20]), transport, data[1])


def _ipv6(data: bytes) -> Packet | None:
    if len(data) < 40:
        return None
    traffic_class = (struct.unpack_from("!H", data)[0] >> 4) & 0xFF
    protocol, offset, fragment_of = skip_extensions(data)
    unreadable = protocol is None or fragment_of is not None
    transport = Transport(protocol) if unreadable else _transport(protocol or 0, data[offset:])
    source, destination = IPv6Address(data[8:24]), IPv6Address(data[24:40])
    return Packet(source, destination, transport, traffic_class, fragment_of, data[6])


def skip_extensions(data: bytes) -> tuple[int | None, int, int | None]:
    """The protocol behind all extension headers, where it starts, and of a later fragment the whole's protocol.

    A later fragment's protocol is 44, which starts at its fragment header.
    """
    following, offset = data[6], 40
    while following in _EXTENSIONS:
        if following == _NO_NEXT or len(data) < offset + 2:
            return None, offset, None
        if following == _FRAGMENT:
            if len(data) < offset + 4:
                return None, offset, None
            if struct.unpack_from("!H", data, offset + 2)[0] & ~0x7:
                return _FRAGMENT, offset, data[offset]
            length = 8
        elif following == _AUTHENTICATION:
            length = (data[offset + 1] + 2) * 4
        else:
            length = (data[offset + 1] + 1) * 8
        following = data[offset]
        offset += length
    return following, offset, None


def _transport(protocol: int, data: bytes) -> Transport:
    """The kernel reads four bytes or nothing."""
    if len(data) < 4:
        return Transport(protocol)
    if protocol in _WITH_PORTS:
        source, destination = struct.unpack_from("!HH", data)
        if protocol == _TCP and len(data) >= 20:
            return Transport(protocol, source, destination, tcp_flags=data[13] & 0x3F, tcp_options=_options(data))
        return Transport(protocol, source, destination)
    if protocol in (_ICMP, _ICMPV6):
        return Transport(protocol, icmp_type=data[0], icmp_code=data[1])
    return Transport(protocol)


def _options(segment: bytes) -> frozenset[int]:
    """The kinds of a TCP header's options."""
    found: set[int] = set()
    header = segment[20 : (segment[12] >> 4) * 4]
    offset = 0
    while offset < len(header) and header[offset] != 0:
        kind = header[offset]
        found.add(kind)
        if kind == 1 or offset + 1 >= len(header):
            offset += 1
        else:
            offset += max(header[offset + 1], 2)
    return frozenset(found)
