"""Two negated ports in one rule of iptables, which means one thing to some of its releases and another to others.

iptables-nft before 1.8.11 compares both ports at once, and so takes `! --sport A ! --dport B` for "not both of them"
(nft.c, add_nft_tcpudp); the others take it for "neither". The text of the rule is the same.
"""

from __future__ import annotations

from reconciler.model.kernel import Condition, Family
from reconciler.nwfilter.frame import Packet

_OPTIONS = {"sport", "dport", "source-port", "destination-port"}


def two_negated_ports(conditions: tuple[Condition, ...], family: Family) -> tuple[Condition, ...]:
    """The two conditions on one single port each, or none."""
    if family not in (Family.IPV4, Family.IPV6):
        return ()
    found = tuple(each for each in conditions if each.option in _OPTIONS and each.negated and _single(each.value))
    return found if len(found) == 2 else ()


def _single(value: str) -> int | None:
    low, _, high = value.partition(":")
    return int(low) if low.isdigit() and int(low) and high in ("", low) else None


def either_port_matches(pair: tuple[Condition, ...], packet: Packet) -> bool | None:
    """Whether a packet fulfils both conditions; None where releases of iptables differ."""
    transport = packet.transport
    if transport.source_port is None or transport.destination_port is None:
        return False
    differs = {
        _single(each.value) != (transport.source_port if each.option[0] == "s" else transport.destination_port)
        for each in pair
    }
    return differs.pop() if len(differs) == 1 else None
