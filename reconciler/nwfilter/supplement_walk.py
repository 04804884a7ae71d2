"""What the supplement's rules do with a frame: fields at their places, as the kernel of nft reads them.

Source: Linux, nft_set_pktinfo_ipv6_validate() and ipv6_find_hdr(). A field that the frame does not have breaks off the
rule that asks for it. Of a frame without bytes what its decoded fields say is asked, and no more.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cached_property
from ipaddress import IPv6Network

from reconciler.model.kernel import Condition, KernelRule
from reconciler.model.supplement import Supplement
from reconciler.nwfilter.floods import COUNT, FLOODS
from reconciler.nwfilter.frame import ETHERTYPES, Frame, Packet
from reconciler.nwfilter.supplement import HOOK, TARGETS
from reconciler.nwfilter.view import UnknownMatch

_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _NO_NEXT, _DESTINATION = 0, 43, 44, 51, 59, 60
_OPTIONS = (_HOP_BY_HOP, _ROUTING, _DESTINATION)
_EXTENSIONS = (*_OPTIONS, _FRAGMENT, _AUTHENTICATION, _NO_NEXT)
_UDP, _ICMPV6 = 17, 58
_HEADER = 40
_MOST_JUMPS = 8


class SupplementWalker:
    """One reading of the supplement, ready to judge frames."""

    def __init__(self, supplement: Supplement, note: Callable[[str, KernelRule], None] | None = None) -> None:
        self._chains = dict(supplement.rules)
        self._note = note
        self._members: dict[str, set[tuple[str, str]]] = {}
        self._targets: dict[str, list[tuple[int, int]]] = {}
        for name, mac, value in supplement.elements:
            if name == TARGETS:
                network = _span(value)
                self._targets.setdefault(mac, []).append(network)
            else:
                self._members.setdefault(name, set()).add((mac, value))

    def dropped_by(self, frame: Frame) -> tuple[str, KernelRule] | None:
        """The chain and the rule that drops a frame, None where it passes. Raises UnknownMatch."""
        fields = _Fields(frame)
        return self._dropped_in(HOOK, fields) or self._dropped_in(FLOODS, fields)

    def _dropped_in(self, hook: str, fields: _Fields) -> tuple[str, KernelRule] | None:
        chain: str | None = hook
        for _ in range(_MOST_JUMPS):
            rule = next((rule for rule in self._chains.get(chain or "", ()) if self._holds(rule, fields)), None)
            if rule is None or chain is None:
                return None
            if self._note:
                self._note(chain, rule)
            if rule.target in ("ACCEPT", "DROP"):
                return (chain, rule) if rule.target == "DROP" else None
            if not rule.goto:
                raise UnknownMatch(f"the supplement's rule `{rule.text}` is not understood")
            chain = rule.target
        return None

    def _holds(self, rule: KernelRule, fields: _Fields) -> bool:
        return all(self._is_met(condition, fields) for condition in rule.conditions)

    def _is_met(self, condition: Condition, fields: _Fields) -> bool:
        option = condition.option
        if option == COUNT:
            # One frame alone is within every limit.
            return False
        found = fields.of(option.removesuffix(" >="))
        if found is None:
            return False
        if condition.value.startswith("@"):
            return self._is_member(condition.value[1:], fields.frame.source, found) is not condition.negated
        if option == "exthdr":
            return True
        wanted = _wanted(condition.value)
        return found >= wanted if option.endswith(" >=") else (found == wanted) is not condition.negated

    def _is_member(self, name: str, mac: str, found: int) -> bool:
        if name == TARGETS:
            return any(first <= found <= last for first, last in self._targets.get(mac, ()))
        members = self._members.get(name, set())
        return (mac, "") in members or (mac, f"{found:016x}") in members


def _span(value: str) -> tuple[int, int]:
    network = IPv6Network(value)
    return int(network[0]), int(network[-1])


def _wanted(value: str) -> int:
    return 0 if value == "::" else int(value, 0)


class _Fields:
    """What rules can ask of one frame."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        payload = frame.payload
        is_ipv6 = frame.ethertype == ETHERTYPES["IPv6"] and isinstance(payload, Packet)
        self._packet = payload if is_ipv6 and isinstance(payload, Packet) else None
        self._data = frame.network if self._packet else None

    def of(self, option: str) -> int | None:
        """A field's number; None where the frame has none. Raises UnknownMatch."""
        if option.startswith("ether saddr . "):
            return self.of(option.removeprefix("ether saddr . "))
        if option.startswith("@th,"):
            return self._transport_bits(*map(int, option.split(",")[1:]))
        if option not in _READERS:
            raise UnknownMatch(f"the supplement's match {option} is not understood")
        return _READERS[option](self)

    @cached_property
    def _headers(self) -> tuple[int | None, int | None, int | None]:
        """The transport's protocol, where it starts, and the offset of the first fragment header's piece.

        The first two are None where the chain of headers breaks off, the second of a later fragment too.
        """
        data = self._data
        if data is None or len(data) < _HEADER:
            return None, None, None
        if struct.unpack_from("!H", data, 4)[0] + _HEADER > len(data):
            return None, None, None
        following, offset, piece = data[6], _HEADER, None
        while following in _EXTENSIONS and following not in (_NO_NEXT, _AUTHENTICATION):
            if len(data) < offset + 2:
                return None, None, piece
            length = 8
            if following == _FRAGMENT:
                if len(data) < offset + 4:
                    return None, None, piece
                place = struct.unpack_from("!H", data, offset + 2)[0] >> 3
                piece = place if piece is None else piece
                if place:
                    later = data[offset]
                    return (None if later in _EXTENSIONS and later != _NO_NEXT else later), None, piece
            else:
                length = (data[offset + 1] + 1) * 8
            following = data[offset]
            offset += length
        return following, offset, piece

    @property
    def protocol(self) -> int | None:
        if self._data is not None:
            return self._headers[0]
        packet = self._packet
        return None if packet is None else packet.transport.protocol

    @property
    def next_header(self) -> int | None:
        if self._packet is None:
            return None
        known = self._packet.next_header
        return self._packet.transport.protocol if known is None else known

    @property
    def length(self) -> int | None:
        if self._data is None:
            return self._refuse("ip6 length") if self._packet else None
        return int(struct.unpack_from("!H", self._data, 4)[0])

    @property
    def piece(self) -> int | None:
        return self._headers[2]

    @property
    def icmp_type(self) -> int | None:
        if self.protocol != _ICMPV6:
            return None
        return self._transport_bits(0, 8) if self._data is not None else self._decoded()

    @property
    def destination_port(self) -> int | None:
        if self.protocol != _UDP or self._packet is None:
            return None
        return self._transport_bits(16, 16) if self._data is not None else self._packet.transport.destination_port

    @property
    def any_destination_port(self) -> int | None:
        """Of a frame without bytes that of the datagram, where it is one: nobody asks before it is known to be one."""
        if self._data is not None or self.protocol != _UDP:
            return self._transport_bits(16, 16)
        return self.destination_port

    @property
    def source(self) -> int | None:
        return None if self._packet is None else int(self._packet.source)

    @property
    def ipv4_protocol(self) -> int | None:
        payload = self.frame.payload
        is_ipv4 = self.frame.ethertype == ETHERTYPES["IPv4"] and isinstance(payload, Packet)
        return payload.transport.protocol if is_ipv4 and isinstance(payload, Packet) else None

    def _transport_bits(self, offset: int, length: int) -> int | None:
        if self._data is None:
            return self._decoded() if (offset, length) == (0, 8) else self._refuse(f"@th,{offset},{length}")
        start = self._headers[1]
        if start is None:
            return None
        first = start + offset // 8
        found = self._data[first : first + length // 8]
        return int.from_bytes(found) if len(found) * 8 == length else None

    def _decoded(self) -> int | None:
        """The transport's first byte where it is known, any where only that there is one."""
        if self._packet is None:
            return None
        transport = self._packet.transport
        return transport.icmp_type if transport.icmp_type is not None else transport.source_port

    def _refuse(self, what: str) -> int | None:
        raise UnknownMatch(f"the supplement asks for {what}, and the frame is known without its bytes")


_READERS: dict[str, Callable[[_Fields], int | None]] = {
    "ether type": lambda fields: fields.frame.ethertype,
    "ether saddr": lambda _fields: 0,
    "exthdr": lambda fields: fields.piece,
    "ip6 nexthdr": lambda fields: fields.next_header,
    "ip6 length": lambda fields: fields.length,
    "ip6 saddr": lambda fields: fields.source,
    "ip protocol": lambda fields: fields.ipv4_protocol,
    "@nh,48,8": lambda fields: fields.next_header,
    "th dport": lambda fields: fields.any_destination_port,
    "meta l4proto": lambda fields: fields.protocol,
    "frag frag-off": lambda fields: fields.piece,
    "icmpv6 type": lambda fields: fields.icmp_type,
    "udp dport": lambda fields: fields.destination_port,
}
