"""How well an interface is held to what it owns, told from the verdicts on its battery and not from a filter's name.

A flag that denies a guard means that at least one frame of its kind leaks, also one that no nwfilter rule can stop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from reconciler.model.coverage import Coverage, Flag
from reconciler.model.guest import Interface
from reconciler.model.outcome import Case
from reconciler.model.site import Segment
from reconciler.nwfilter.frame import ETHERTYPES, Frame, Packet

_UDP, _ICMPV6 = 17, 58
_ROUTER_ADVERTISEMENT = frozenset({134})
_NEIGHBOUR_DISCOVERY = frozenset({133, 135, 136, 137})
_SERVER_PORTS = frozenset({67, 547})


@dataclass(frozen=True, slots=True)
class JudgedFrame:
    """A case with its frame and its verdict; `outgoing` is from the guest."""

    frame: Frame
    case: Case
    outgoing: bool = True

    @property
    def leaks(self) -> bool:
        return self.case.expected == "drop" and self.case.got == "pass"


def coverage(
    interface: Interface, frames: Sequence[JudgedFrame], segment: Segment | None = None, *, learns: bool = False
) -> Coverage:
    """The verdicts on an interface's frames, of which there is at least one, as flags, leaks and a score."""
    leaks = tuple(each.case.case for each in frames if each.leaks)
    right = sum(each.case.holds for each in frames)
    return Coverage(tuple(_flags(interface, frames, segment, learns)), leaks, right, len(frames))


def _flags(
    interface: Interface, frames: Sequence[JudgedFrame], segment: Segment | None, learns: bool
) -> Iterator[Flag]:
    outgoing = [each for each in frames if each.outgoing]
    if all(each.case.got == "pass" for each in outgoing):
        yield Flag.UNFILTERED
    if learns:
        yield Flag.ADDRESS_LEARNING
    told_apart = {name: len(_verdicts(outgoing, interface.mac, name)) > 1 for name in ("IPv4", "IPv6")}
    if told_apart["IPv4"] and not told_apart["IPv6"]:
        yield Flag.IPV4_ONLY
    for flag, is_of_kind in _KINDS.items():
        if any(is_of_kind(each.frame) for each in outgoing if each.leaks):
            yield flag
    if segment is not None and _has_wide_prefix(interface, segment):
        yield Flag.WIDE_PREFIX


def _verdicts(frames: Sequence[JudgedFrame], mac: str, family: str) -> set[str]:
    """The verdicts on an interface's frames of a family: all of one kind when its addresses are not looked at."""
    ethertype = ETHERTYPES[family]
    return {each.case.got for each in frames if each.frame.ethertype == ethertype and each.frame.source == mac}


def _is_message(types: frozenset[int]) -> Callable[[Frame], bool]:
    def test(frame: Frame) -> bool:
        packet = frame.payload
        if not isinstance(packet, Packet) or packet.transport.protocol != _ICMPV6:
            return False
        return packet.transport.icmp_type in types

    return test


def _is_server_answer(frame: Frame) -> bool:
    packet = frame.payload
    if not isinstance(packet, Packet) or packet.transport.protocol != _UDP:
        return False
    return packet.transport.source_port in _SERVER_PORTS


_KINDS = {
    Flag.NO_RA_GUARD: _is_message(_ROUTER_ADVERTISEMENT),
    Flag.NO_ND_GUARD: _is_message(_NEIGHBOUR_DISCOVERY),
    Flag.NO_DHCP_SERVER_GUARD: _is_server_answer,
}


def _has_wide_prefix(interface: Interface, segment: Segment) -> bool:
    """Whether an own prefix holds a whole network of the segment, and so everybody's addresses there."""
    ipv4 = any(network.subnet_of(own) for own in interface.ipv4 for network in segment.ipv4)
    return ipv4 or any(network.subnet_of(own) for own in interface.ipv6 for network in segment.ipv6)
