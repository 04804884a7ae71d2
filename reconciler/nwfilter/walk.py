"""Walk a frame through the kernel's chains and say which rule decided.

Semantics are those of ebtables(8): rules in order, `RETURN` goes back to the caller, a chain's policy applies
after its last rule. A match that this walker does not know is an error, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network

from reconciler.errors import ReconcilerError
from reconciler.model.kernel import Condition, KernelRule, Ruleset
from reconciler.nwfilter.frame import BROADCAST_MAC, ETHERTYPES, Arp, Frame, Packet

_MAXIMUM_DEPTH = 32

_PROTOCOLS = {
    "icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "esp": 50, "ah": 51, "ipv6-icmp": 58, "icmpv6": 58, "sctp": 132, "udplite": 136,
}  # fmt: skip

_ICMPV6_TYPES = {
    "destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4,
    "echo-request": 128, "ping": 128, "echo-reply": 129, "pong": 129,
    "router-solicitation": 133, "router-advertisement": 134, "neighbour-solicitation": 135, "neighbor-solicitation": 135,
    "neighbour-advertisement": 136, "neighbor-advertisement": 136, "redirect": 137,
}  # fmt: skip

_ARP_OPERATIONS = {
    "Request": 1, "Reply": 2, "Request_Reverse": 3, "Reply_Reverse": 4, "DRARP_Request": 5, "DRARP_Reply": 6,
    "DRARP_Error": 7, "InARP_Request": 8, "ARP_NAK": 9,
}  # fmt: skip


class UnknownMatch(ReconcilerError):
    """A rule uses a match that the walker cannot judge, so nothing may be claimed about it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`passes`, and the rule that decided: None when a chain's policy did."""

    passes: bool
    chain: str
    rule: KernelRule | None = None


def verdict(ruleset: Ruleset, frame: Frame, port: str, hook: str = "PREROUTING") -> Verdict:
    """What the kernel does with a frame that enters the bridge at a port."""
    decided = _walk(ruleset, hook, frame, port, 0)
    return decided or Verdict(passes=True, chain=hook)


def _walk(ruleset: Ruleset, name: str, frame: Frame, port: str, depth: int) -> Verdict | None:
    chain = ruleset.chain(name)
    if chain is None:
        raise UnknownMatch(f"a rule jumps to the chain {name!r}, which does not exist")
    if depth > _MAXIMUM_DEPTH:
        raise UnknownMatch(f"the chain {name!r} is nested deeper than {_MAXIMUM_DEPTH} jumps")
    for rule in chain.rules:
        if not all(_holds(condition, frame, port) for condition in rule.conditions):
            continue
        if rule.target == "RETURN":
            return None
        if rule.target in ("ACCEPT", "DROP"):
            return Verdict(rule.target == "ACCEPT", name, rule)
        if rule.target != "CONTINUE":
            decided = _walk(ruleset, rule.target, frame, port, depth + 1)
            if decided:
                return decided
    return None if chain.policy == "RETURN" else Verdict(chain.policy == "ACCEPT", name)


def _holds(condition: Condition, frame: Frame, port: str) -> bool:
    judge = _JUDGES.get(condition.option)
    if judge is None:
        raise UnknownMatch(f"the match --{condition.option} {condition.value} is not understood")
    held = judge(condition.value, frame, port)
    return held is not None and held != condition.negated


Judge = Callable[[str, Frame, str], bool | None]
"""True or False for a field that the frame has, None where it has none: then neither form of the match holds."""


def _mac(value: str, mac: str) -> bool:
    if value == "Broadcast":
        return mac == BROADCAST_MAC
    if value in ("Multicast", "Unicast"):
        return (int(mac[:2], 16) & 1 == 1) == (value == "Multicast")
    if value == "BGA":
        return mac == "01:80:c2:00:00:00"
    address, _, mask = value.partition("/")
    bits = _mac_bits(mask) if mask else (1 << 48) - 1
    return _mac_bits(address) & bits == _mac_bits(mac) & bits


def _mac_bits(mac: str) -> int:
    return int("".join(part.zfill(2) for part in mac.split(":")), 16)


def _ethertype(value: str, frame: Frame, _port: str) -> bool:
    if value == "LENGTH":
        return frame.ethertype < 0x0600
    known = ETHERTYPES.get(value)
    return frame.ethertype == (known if known is not None else int(value, 16))


def _address(value: str, address: IPv4Address | IPv6Address) -> bool:
    network = ip_network(value, strict=False)
    return network.version == address.version and address in network


def _packet(frame: Frame, version: int) -> Packet | None:
    packet = frame.payload
    return packet if isinstance(packet, Packet) and packet.source.version == version else None


def _range(value: str, number: int) -> bool:
    low, separator, high = value.partition(":")
    return int(low or 0) <= number <= (int(high or 65535) if separator else int(low))


def _icmp(value: str, types: dict[str, int], kind: int, code: int | None) -> bool:
    if value in types:
        return kind == types[value]
    kinds, _, codes = value.partition("/")
    return _range(kinds, kind) and (not codes or _range(codes, code or 0))


def _of_packet(version: int, judge: Callable[[str, Packet], bool | None]) -> Judge:
    def judged(value: str, frame: Frame, _port: str) -> bool | None:
        packet = _packet(frame, version)
        return None if packet is None else judge(value, packet)

    return judged


def _source(value: str, packet: Packet) -> bool:
    return _address(value, packet.source)


def _destination(value: str, packet: Packet) -> bool:
    return _address(value, packet.destination)


def _protocol(value: str, packet: Packet) -> bool:
    number = _PROTOCOLS.get(value)
    return packet.transport.protocol == (number if number is not None else int(value))


def _source_port(value: str, packet: Packet) -> bool | None:
    port = packet.transport.source_port
    return None if port is None else _range(value, port)


def _destination_port(value: str, packet: Packet) -> bool | None:
    port = packet.transport.destination_port
    return None if port is None else _range(value, port)


def _icmpv6(value: str, packet: Packet) -> bool | None:
    transport = packet.transport
    if transport.protocol != _PROTOCOLS["ipv6-icmp"] or transport.icmp_type is None:
        return None
    return _icmp(value, _ICMPV6_TYPES, transport.icmp_type, transport.icmp_code)


def _of_arp(judge: Callable[[str, Arp], bool]) -> Judge:
    def judged(value: str, frame: Frame, _port: str) -> bool | None:
        return judge(value, frame.payload) if isinstance(frame.payload, Arp) else None

    return judged


def _operation(value: str, arp: Arp) -> bool:
    number = _ARP_OPERATIONS.get(value)
    return arp.operation == (number if number is not None else int(value, 0))


def _packet_judges(version: int, prefix: str) -> dict[str, Judge]:
    fields: dict[str, Callable[[str, Packet], bool | None]] = {
        "src": _source, "source": _source, "dst": _destination, "destination": _destination,
        "proto": _protocol, "protocol": _protocol,
        "sport": _source_port, "source-port": _source_port, "dport": _destination_port, "destination-port": _destination_port,
    }  # fmt: skip
    return {f"{prefix}-{name}": _of_packet(version, judge) for name, judge in fields.items()}


_JUDGES: dict[str, Judge] = {
    "in-interface": lambda value, _frame, port: value == port,
    "protocol": _ethertype,
    "source": lambda value, frame, _port: _mac(value, frame.source),
    "destination": lambda value, frame, _port: _mac(value, frame.destination),
    **_packet_judges(4, "ip"),
    **_packet_judges(6, "ip6"),
    "ip6-icmp-type": _of_packet(6, _icmpv6),
    "arp-op": _of_arp(_operation),
    "arp-opcode": _of_arp(_operation),
    "arp-ip-src": _of_arp(lambda value, arp: _address(value, arp.sender_ip)),
    "arp-ip-dst": _of_arp(lambda value, arp: _address(value, arp.target_ip)),
    "arp-mac-src": _of_arp(lambda value, arp: _mac(value, arp.sender_mac)),
    "arp-mac-dst": _of_arp(lambda value, arp: _mac(value, arp.target_mac)),
}
