"""The matches of nft's rules as functions of a frame.

nft reads fields at their places in the frame, whatever else it holds; a field beyond its end, or of another protocol
than the rule asks for, matches neither as it is nor inverted. Sources: Linux, net/netfilter/nft_payload.c, nft_meta.c,
nft_set_pktinfo_ipv4_validate() and ipv6_find_hdr(); nft(8), src/proto.c for the places.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_network

from reconciler.model.kernel import Condition
from reconciler.nwfilter.decode import skip_extensions
from reconciler.nwfilter.frame import Arp, Frame, Packet, Vlan
from reconciler.nwfilter.nft_rules import IPV4, SAME_ADDRESSES, settled_conditions
from reconciler.nwfilter.nft_values import MASK, mac_number, ordinal
from reconciler.nwfilter.view import Field, Predicate, T, Test, UnknownMatch, View, refusal

_IPV4, _IPV6, _ARP, _VLAN = 0x0800, 0x86DD, 0x0806, 0x8100
_PORT_PROTOCOLS = {"tcp": 6, "udp": 17, "dccp": 33, "sctp": 132, "udplite": 136}


def compile_nft(conditions: tuple[Condition, ...]) -> tuple[Test, ...]:
    """All tests of a rule. What cannot be judged comes last, and raises UnknownMatch only when all else holds."""
    found = sorted(settled_conditions(conditions), key=lambda each: each.option.startswith("@"))
    last: tuple[Test, ...] = ()
    if _contradicts(found):
        found, last = [each for each in found if not each.option.startswith("ip ")], (_contradiction,)
    known = [_compile(each) for each in found]
    tests = [test for test in known if test is not None]
    unknown = [refusal(f"{each.option} {each.value}") for each, test in zip(found, known, strict=True) if test is None]
    return (*tests, *unknown, *last)


def _contradicts(conditions: list[Condition]) -> bool:
    """Whether a rule asks for fields of IPv4 in what is no IPv4, as libvirt does of a negated protocol."""
    excluded = {each.value for each in conditions if each.option == "ether type" and each.negated}
    return IPV4 in excluded and any(each.option.startswith("ip ") for each in conditions)


def _contradiction(view: View) -> bool:
    if isinstance(view.frame.payload, Vlan):
        raise UnknownMatch("fields of IPv4 in a tagged frame are not understood")
    return False


def _compile(condition: Condition) -> Test | None:
    """None for what is not understood."""
    field, value, negated = condition.option, condition.value, condition.negated
    name, _, mask = field.partition(MASK)
    try:
        if value == SAME_ADDRESSES:
            return _same_part_of_addresses(field, negated)
        if name == "comment":
            return lambda _view: True
        if name in _TEXTS:
            return _test(_TEXTS[name], lambda found: found in value.split(","), negated)
        if name == "ct count":
            return _over(value)
        read = _raw(name) if name.startswith("@") else _FIELDS.get(name)
        return _test(read, _number(name, value, mask), negated) if read else None
    except ValueError:
        return None


def _test(field: Field[T], holds: Predicate[T], negated: bool) -> Test:
    def test(view: View) -> bool:
        found = field(view)
        matches = found is not None and holds(found) is not negated
        if matches and isinstance(found, _Doubtful):
            raise UnknownMatch("whether a later fragment has a transport header depends on the kernel")
        return matches

    return test


def _number(field: str, value: str, mask: str) -> Predicate[int]:
    """Whether a number, under a mask if there is one, is what a canonical value asks for."""
    holds = _one_of(field, value)
    if not mask:
        return holds
    bits = ordinal(field, mask)
    return lambda found: holds(found & bits)


def _one_of(field: str, value: str) -> Predicate[int]:
    if value.startswith("{"):
        members = [_one_of(field, each) for each in value[1:-1].split(", ")]
        return lambda found: any(holds(found) for holds in members)
    if "/" in value:
        network = ip_network(value)
        first, mask = int(network.network_address), int(network.netmask)
        return lambda found: found & mask == first
    low, dash, high = value.partition("-")
    least, most = ordinal(field, low), ordinal(field, high if dash else low)
    return lambda found: least <= found <= most


def _over(value: str) -> Test | None:
    word, _, limit = value.partition(" ")
    if word != "over":
        return None
    most = int(limit)
    return lambda view: view.flow.connections > most


def _same_part_of_addresses(field: str, negated: bool) -> Test | None:
    """libvirt compares two addresses of ARP under one mask, which is a byte of them."""
    masks = {each.partition(MASK)[2] for each in field.split(" . ")}
    names = [each.partition(MASK)[0] for each in field.split(" . ")]
    if names != ["arp saddr ip", "arp daddr ip"] or len(masks) != 1:
        return None
    bits = ordinal("arp saddr ip", masks.pop())
    sender, target = (_FIELDS[name] for name in names)

    def test(view: View) -> bool:
        one, other = sender(view), target(view)
        return one is not None and other is not None and (one & bits == other & bits) is not negated

    return test


def _raw(name: str) -> Field[int] | None:
    """`@nh,OFFSET,LENGTH`, in bits behind the Ethernet header."""
    base, offset, length = name[1:].split(",")
    start, size = int(offset), int(length)
    return (lambda view: _bits(view, start, size)) if base == "nh" and size else None


def _bits(view: View, start: int, size: int) -> int | None:
    data = view.frame.network
    if data is None:
        raise UnknownMatch("a rule reads bytes of a frame that is not known byte by byte")
    if len(data) * 8 < start + size:
        return None
    return _cut(data, start, size)


def _cut(data: bytes, start: int, size: int) -> int:
    return int.from_bytes(data) >> (len(data) * 8 - start - size) & (1 << size) - 1


def _in_packet(version: int, field: Callable[[Packet], int | None]) -> Field[int]:
    ethertype = _IPV4 if version == 4 else _IPV6

    def read(view: View) -> int | None:
        packet = view.frame.payload
        return field(packet) if isinstance(packet, Packet) and view.frame.ethertype == ethertype else None

    return read


def _in_arp(start: int, size: int, field: Callable[[Arp], int | None]) -> Field[int]:
    """nft takes every ARP message for one of Ethernet and IPv4."""

    def read(view: View) -> int | None:
        if view.frame.ethertype != _ARP:
            return None
        if view.frame.network is not None:
            return _bits(view, start, size)
        return field(view.frame.payload) if isinstance(view.frame.payload, Arp) else None

    return read


def _in_vlan(field: Callable[[Vlan], int]) -> Field[int]:
    def read(view: View) -> int | None:
        vlan = view.frame.payload
        return field(vlan) if isinstance(vlan, Vlan) and view.frame.ethertype == _VLAN else None

    return read


def _in_any_packet(field: Callable[[Packet], int | None]) -> Field[int]:
    """What a rule may ask without naming the IP version; libvirt always names it."""

    def read(view: View) -> int | None:
        packet = view.frame.payload
        if isinstance(packet, Vlan):
            raise UnknownMatch("what a tagged frame holds is not understood")
        return field(packet) if isinstance(packet, Packet) else None

    return read


class _Doubtful(int):
    """What stands in a later fragment where a transport header has a field: kernels read it, or do not (6.18 does)."""


def _of_transport(protocol: int | None, start: int, size: int, field: Callable[[Packet], int | None]) -> Field[int]:
    """A field at a place of the transport header; of any protocol where none is said."""

    def read(view: View) -> int | None:
        packet = view.frame.payload
        if isinstance(packet, Vlan):
            raise UnknownMatch("what a tagged frame holds is not understood")
        if not isinstance(packet, Packet) or (protocol is not None and _protocol(packet) != protocol):
            return None
        data = _of_later_fragment(view.frame, packet)
        if data is None:
            return field(packet)
        return _Doubtful(_cut(data, start, size)) if len(data) * 8 >= start + size else None

    return read


def _of_later_fragment(frame: Frame, packet: Packet) -> bytes | None:
    """What a fragment holds that is not the first one; None of any other packet."""
    data = frame.network
    if data is None:
        return None
    if frame.ethertype == _IPV6:
        return data[skip_extensions(data)[1] + 8 :] if packet.fragment_of is not None else None
    return data[(data[0] & 0x0F) * 4 :] if int.from_bytes(data[6:8]) & 0x1FFF else None


def _with_icmp(version: int, start: int, field: Callable[[Packet], int | None]) -> Field[int]:
    protocol, ethertype = (1, _IPV4) if version == 4 else (58, _IPV6)
    read = _of_transport(protocol, start, 8, field)
    return lambda view: read(view) if view.frame.ethertype == ethertype else None


def _any_port(port: int | None, packet: Packet) -> int | None:
    if port is None and packet.transport.protocol not in (*_PORT_PROTOCOLS.values(), None):
        raise UnknownMatch("ports of a protocol that has none are not understood")
    return port


def _protocol(packet: Packet) -> int | None:
    return packet.transport.protocol if packet.fragment_of is None else packet.fragment_of


def _next_header(packet: Packet) -> int | None:
    return packet.transport.protocol if packet.next_header is None else packet.next_header


def _mac(text: str | None) -> int | None:
    return None if text is None else mac_number(text)


_TEXTS: Mapping[str, Field[str]] = {
    "in-interface": lambda view: view.in_port,
    "out-interface": lambda view: view.out_port,
    "ct state": lambda view: view.flow.state.value.lower(),
    "ct direction": lambda view: "reply" if view.flow.answer else "original",
}
_PORT_FIELDS: Mapping[str, tuple[int, Callable[[Packet], int | None]]] = {
    "sport": (0, lambda packet: packet.transport.source_port),
    "dport": (16, lambda packet: packet.transport.destination_port),
}
_FIELDS: Mapping[str, Field[int]] = {
    "ether type": lambda view: view.frame.ethertype,
    "ether saddr": lambda view: mac_number(view.frame.source),
    "ether daddr": lambda view: mac_number(view.frame.destination),
    "vlan id": _in_vlan(lambda vlan: vlan.id),
    "vlan type": _in_vlan(lambda vlan: vlan.encapsulated),
    "ip saddr": _in_packet(4, lambda packet: int(packet.source)),
    "ip daddr": _in_packet(4, lambda packet: int(packet.destination)),
    "ip protocol": _in_packet(4, lambda packet: packet.transport.protocol),
    "ip dscp": _in_packet(4, lambda packet: packet.tos >> 2),
    "ip6 saddr": _in_packet(6, lambda packet: int(packet.source)),
    "ip6 daddr": _in_packet(6, lambda packet: int(packet.destination)),
    "ip6 nexthdr": _in_packet(6, _next_header),
    "ip6 dscp": _in_packet(6, lambda packet: packet.tos >> 2),
    "meta l4proto": _in_any_packet(_protocol),
    "arp htype": _in_arp(0, 16, lambda arp: arp.hardware_type),
    "arp ptype": _in_arp(16, 16, lambda arp: arp.protocol_type),
    "arp operation": _in_arp(48, 16, lambda arp: arp.operation),
    "arp saddr ether": _in_arp(64, 48, lambda arp: _mac(arp.sender_mac)),
    "arp saddr ip": _in_arp(112, 32, lambda arp: None if arp.sender_ip is None else int(arp.sender_ip)),
    "arp daddr ether": _in_arp(144, 48, lambda arp: _mac(arp.target_mac)),
    "arp daddr ip": _in_arp(192, 32, lambda arp: None if arp.target_ip is None else int(arp.target_ip)),
    "icmp type": _with_icmp(4, 0, lambda packet: packet.transport.icmp_type),
    "icmp code": _with_icmp(4, 8, lambda packet: packet.transport.icmp_code),
    "icmpv6 type": _with_icmp(6, 0, lambda packet: packet.transport.icmp_type),
    "icmpv6 code": _with_icmp(6, 8, lambda packet: packet.transport.icmp_code),
    "tcp flags": _of_transport(6, 104, 8, lambda packet: packet.transport.tcp_flags),
    **{
        f"{word} {name}": _of_transport(number, start, 16, field)
        for word, number in _PORT_PROTOCOLS.items()
        for name, (start, field) in _PORT_FIELDS.items()
    },
    "th sport": _of_transport(None, 0, 16, lambda packet: _any_port(packet.transport.source_port, packet)),
    "th dport": _of_transport(None, 16, 16, lambda packet: _any_port(packet.transport.destination_port, packet)),
}
