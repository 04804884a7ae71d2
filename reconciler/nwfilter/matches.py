"""The matches of rules as functions of a frame: compiled once, asked often.

A match of a field that the frame does not have holds neither as it is nor inverted, as in the kernel's modules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network

from reconciler.model.kernel import Condition, Family
from reconciler.nwfilter.canonical_rules import canonical_condition, mac_and_mask, mac_number
from reconciler.nwfilter.frame import Arp, Bpdu, BpduConfig, Packet, Vlan
from reconciler.nwfilter.nft_matches import compile_nft
from reconciler.nwfilter.two_ports import either_port_matches, two_negated_ports
from reconciler.nwfilter.view import Compiler, Field, Predicate, T, Test, UnknownMatch, View, of_field, refusal

__all__ = ["Test", "UnknownMatch", "View", "compile_conditions"]


def compile_conditions(conditions: tuple[Condition, ...], family: Family) -> tuple[Test, ...]:
    """All tests of a rule. What cannot be judged comes last, and raises UnknownMatch only when all else holds."""
    if family.of_nft:
        return compile_nft(conditions)
    known: list[Test] = []
    unknown: list[Test] = []
    pair = two_negated_ports(conditions, family)
    for condition in conditions:
        if condition in pair:
            continue
        try:
            for canonical in canonical_condition(condition, family):
                known.append(_COMPILERS[family][canonical.option](canonical.value, canonical.negated))
        except (KeyError, ValueError):
            unknown.append(refusal(f"--{condition.option} {condition.value}"))
    return (*known, *unknown, *([_ports_refusal(pair)] if pair else ()))


def _ports_refusal(pair: tuple[Condition, ...]) -> Test:
    def test(view: View) -> bool:
        packet = view.frame.payload
        matches = either_port_matches(pair, packet) if isinstance(packet, Packet) else False
        if matches is None:
            ports = " ".join(f"! --{each.option} {each.value}" for each in pair)
            raise UnknownMatch(f"{ports} is 'neither' to some releases of iptables and 'not both' to others")
        return matches

    return test


def _same_text(value: str) -> Predicate[str]:
    return lambda found: found == value


def _interface(value: str) -> Predicate[str]:
    if value.endswith("+"):
        return lambda found: found.startswith(value[:-1])
    return _same_text(value)


def _same_number(value: str) -> Predicate[int]:
    wanted = int(value, 0)
    return lambda found: found == wanted


def _same_hex(value: str) -> Predicate[int]:
    if value == "LENGTH":
        return lambda found: found < 0x0600
    return _same_number(value)


def _in_range(value: str) -> Predicate[int]:
    low, high = (int(part) for part in value.split(":"))
    return lambda found: low <= found <= high


def _mac(value: str) -> Predicate[str]:
    if "/" not in value and value:
        return _same_text(value)
    address, mask = mac_and_mask(value) if value else (0, 0)
    return lambda found: mac_number(found) & mask == address


def _network(value: str) -> Predicate[int]:
    if not value:
        return lambda _found: True
    network = ip_network(value)
    first, mask = int(network.network_address), int(network.netmask)
    return lambda found: found & mask == first


def _address_range(value: str) -> Predicate[int]:
    low, high = (int(ip_address(part)) for part in value.split("-"))
    return lambda found: low <= found <= high


def _icmp(value: str) -> Predicate[tuple[int, int]]:
    kinds, codes = (_in_range(part) for part in value.split("/"))
    return lambda found: kinds(found[0]) and codes(found[1])


def _true(_value: str) -> Predicate[bool]:
    return lambda found: found


def _packet(version: int, field: Callable[[Packet], T | None]) -> Field[T]:
    """A field of a packet of one IP version; of tagged frames and others it is None."""
    ethertype = 0x0800 if version == 4 else 0x86DD

    def read(view: View) -> T | None:
        packet = view.frame.payload
        if isinstance(packet, Packet) and view.frame.ethertype == ethertype:
            return field(packet)
        return None

    return read


def _icmp_type(packet: Packet) -> tuple[int, int] | None:
    kind, code = packet.transport.icmp_type, packet.transport.icmp_code
    return None if kind is None or code is None else (kind, code)


def _ethernet_packet(prefix: str, version: int) -> dict[str, Compiler]:
    return {
        f"{prefix}-src": of_field(_packet(version, lambda packet: int(packet.source)), _network),
        f"{prefix}-dst": of_field(_packet(version, lambda packet: int(packet.destination)), _network),
        f"{prefix}-tos": of_field(_packet(version, lambda packet: packet.tos), _same_number),
        f"{prefix}-tclass": of_field(_packet(version, lambda packet: packet.tos), _same_number),
        f"{prefix}-proto": of_field(_packet(version, lambda packet: packet.transport.protocol), _same_number),
        f"{prefix}-sport": of_field(_packet(version, lambda packet: packet.transport.source_port), _in_range),
        f"{prefix}-dport": of_field(_packet(version, lambda packet: packet.transport.destination_port), _in_range),
        f"{prefix}-icmp-type": of_field(_packet(version, _icmp_type), _icmp),
    }


def _arp(field: Callable[[Arp], T | None]) -> Field[T]:
    return lambda view: field(view.frame.payload) if isinstance(view.frame.payload, Arp) else None


def _sender_ip(arp: Arp) -> int | None:
    return None if arp.sender_ip is None else int(arp.sender_ip)


def _target_ip(arp: Arp) -> int | None:
    return None if arp.target_ip is None else int(arp.target_ip)


def _gratuitous(arp: Arp) -> bool | None:
    return None if arp.sender_ip is None else arp.sender_ip == arp.target_ip


def _vlan(field: Callable[[Vlan], int]) -> Field[int]:
    return lambda view: field(view.frame.payload) if isinstance(view.frame.payload, Vlan) else None


def _bpdu_type(view: View) -> int | None:
    return view.frame.payload.type if isinstance(view.frame.payload, Bpdu) else None


def _bpdu(field: Callable[[BpduConfig], T]) -> Field[T]:
    def read(view: View) -> T | None:
        bpdu = view.frame.payload
        return field(bpdu.config) if isinstance(bpdu, Bpdu) and bpdu.config else None

    return read


_ETHERNET: Mapping[str, Compiler] = {
    "in-interface": of_field(lambda view: view.in_port, _interface),
    "out-interface": of_field(lambda view: view.out_port, _interface),
    "protocol": of_field(lambda view: view.frame.ethertype, _same_hex),
    "source": of_field(lambda view: view.frame.source, _mac),
    "destination": of_field(lambda view: view.frame.destination, _mac),
    **_ethernet_packet("ip", 4),
    **_ethernet_packet("ip6", 6),
    "arp-op": of_field(_arp(lambda arp: arp.operation), _same_number),
    "arp-htype": of_field(_arp(lambda arp: arp.hardware_type), _same_number),
    "arp-ptype": of_field(_arp(lambda arp: arp.protocol_type), _same_number),
    "arp-ip-src": of_field(_arp(_sender_ip), _network),
    "arp-ip-dst": of_field(_arp(_target_ip), _network),
    "arp-mac-src": of_field(_arp(lambda arp: arp.sender_mac), _mac),
    "arp-mac-dst": of_field(_arp(lambda arp: arp.target_mac), _mac),
    "arp-gratuitous": of_field(_arp(_gratuitous), _true),
    "vlan-id": of_field(_vlan(lambda vlan: vlan.id), _same_number),
    "vlan-prio": of_field(_vlan(lambda vlan: vlan.priority), _same_number),
    "vlan-encap": of_field(_vlan(lambda vlan: vlan.encapsulated), _same_number),
    "stp-type": of_field(_bpdu_type, _same_number),
    "stp-flags": of_field(_bpdu(lambda config: config.flags), _same_number),
    "stp-root-prio": of_field(_bpdu(lambda config: config.root_priority), _in_range),
    "stp-root-addr": of_field(_bpdu(lambda config: config.root_address), _mac),
    "stp-root-cost": of_field(_bpdu(lambda config: config.root_cost), _in_range),
    "stp-sender-prio": of_field(_bpdu(lambda config: config.sender_priority), _in_range),
    "stp-sender-addr": of_field(_bpdu(lambda config: config.sender_address), _mac),
    "stp-port": of_field(_bpdu(lambda config: config.port), _in_range),
    "stp-msg-age": of_field(_bpdu(lambda config: config.message_age), _in_range),
    "stp-max-age": of_field(_bpdu(lambda config: config.max_age), _in_range),
    "stp-hello-time": of_field(_bpdu(lambda config: config.hello_time), _in_range),
    "stp-forward-delay": of_field(_bpdu(lambda config: config.forward_delay), _in_range),
}


def _tcp_flags(value: str) -> Predicate[int]:
    if not value:
        return lambda _found: True
    mask, wanted = (int(part, 16) for part in value.split(" "))
    return lambda found: found & mask == wanted


def _tcp_option(value: str) -> Predicate[frozenset[int]]:
    wanted = int(value)
    return lambda found: wanted in found


def _state(value: str) -> Predicate[str]:
    states = frozenset(value.split(","))
    return lambda found: found in states


def _above(value: str) -> Predicate[int]:
    limit = int(value)
    return lambda found: found > limit


def _anything(_value: str, _negated: bool) -> Test:
    return lambda _view: True


def _protocol(packet: Packet) -> int | None:
    return packet.transport.protocol if packet.fragment_of is None else packet.fragment_of


def _is_bridged(view: View) -> bool:
    return view.in_port is not None and view.out_port is not None


def _packets(version: int) -> dict[str, Compiler]:
    def of(field: Callable[[Packet], T | None], predicate: Callable[[str], Predicate[T]]) -> Compiler:
        return of_field(_packet(version, field), predicate)

    return {
        "physdev-in": of_field(lambda view: view.in_port, _interface),
        "physdev-out": of_field(lambda view: view.out_port, _interface),
        "physdev-is-bridged": lambda _value, negated: lambda view: _is_bridged(view) is not negated,
        "protocol": of(_protocol, _same_number),
        "source": of(lambda packet: int(packet.source), _network),
        "destination": of(lambda packet: int(packet.destination), _network),
        "src-range": of(lambda packet: int(packet.source), _address_range),
        "dst-range": of(lambda packet: int(packet.destination), _address_range),
        "mac-source": of_field(lambda view: view.frame.source, _mac),
        "sport": of(lambda packet: packet.transport.source_port, _in_range),
        "dport": of(lambda packet: packet.transport.destination_port, _in_range),
        "tcp-flags": of(lambda packet: packet.transport.tcp_flags, _tcp_flags),
        "tcp-option": of(lambda packet: packet.transport.tcp_options, _tcp_option),
        "icmp-type" if version == 4 else "icmpv6-type": of(_icmp_type, _icmp),
        "dscp": of(lambda packet: packet.tos >> 2, _same_number),
        "ctstate": of_field(lambda view: view.flow.state.value, _state),
        "ctdir": of_field(lambda view: "REPLY" if view.flow.answer else "ORIGINAL", _same_text),
        "connlimit-above": of_field(lambda view: view.flow.connections, _above),
        "comment": _anything,
    }


_COMPILERS: Mapping[Family, Mapping[str, Compiler]] = {
    Family.ETHERNET: _ETHERNET,
    Family.IPV4: _packets(4),
    Family.IPV6: _packets(6),
}
