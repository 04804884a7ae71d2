"""Where in a segment an address may lie."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.load.files import SegmentEntry
from reconciler.load.findings import Findings, Invalid
from reconciler.load.node import Node
from reconciler.load.values import IPNetwork, bounds, lies_in_link_local
from reconciler.model.origin import Origin

_Span = tuple[int, int]
_Taken = tuple[int, str, str]


@dataclass(slots=True)
class Territory:
    """The addresses of one segment, as numbers by family: its networks, and what in them no guest may own."""

    name: str
    spans: dict[int, list[_Span]] = field(default_factory=lambda: {4: [], 6: []})
    taken: dict[int, list[_Taken]] = field(default_factory=lambda: {4: [], 6: []})

    @classmethod
    def of(cls, name: str, entry: SegmentEntry) -> Territory:
        territory = cls(name)
        for network in _networks(entry):
            territory._add_network(network)
        for gateway in entry.gateways:
            what = f"the gateway {gateway} of segment {name}"
            territory.taken[gateway.version].append((int(gateway), "gateway-address", what))
        for taken in territory.taken.values():
            taken.sort()
        return territory

    def _add_network(self, network: IPNetwork) -> None:
        first, last = bounds(network)
        self.spans[network.version].append((first, last))
        if network.max_prefixlen - network.prefixlen < 2:
            return
        what = f"the network address of {network}" if network.version == 4 else f"the router anycast of {network}"
        self.taken[network.version].append((first, "network-address", what))
        if network.version == 4:
            self.taken[4].append((last, "broadcast-address", f"the broadcast address of {network}"))

    @property
    def is_open(self) -> bool:
        """A segment that lists no network does not limit its addresses."""
        return not any(self.spans.values())

    def check(self, network: IPNetwork, *, is_router: bool = False) -> None:
        """Raise for an address or prefix that no guest of this segment may own; a router may own a gateway's."""
        first, last = bounds(network)
        shown = str(network.network_address) if first == last else str(network)
        if not self._holds(network, first, last):
            raise Invalid("outside-segment", f"{shown} does not lie in segment {self.name}")
        taken = self.taken[network.version]
        for number, id, what in taken[bisect_left(taken, (first, "", "")) :]:
            if number > last:
                break
            if not (is_router and id == "gateway-address"):
                raise Invalid(id, f"{shown} {'is' if first == last else 'contains'} {what}")

    def _holds(self, network: IPNetwork, first: int, last: int) -> bool:
        if self.is_open or lies_in_link_local(network):
            return True
        return any(start <= first and last <= end for start, end in self.spans[network.version])


class Gateways:
    """The gateways of all segments: nobody owns one, wherever the interface is, but the routers of its segment."""

    def __init__(self, segments: Mapping[str, SegmentEntry]) -> None:
        self._sorted = sorted(
            (gateway.version, int(gateway), name, entry.bridge or "", str(gateway))
            for name, entry in segments.items()
            for gateway in entry.gateways
        )

    def check(self, network: IPNetwork, segment: str | None, bridge: str | None) -> None:
        """Raise for an address that is a gateway of another segment; a link-local one only on the same bridge."""
        first, last = bounds(network)
        start = bisect_left(self._sorted, (network.version, first, "", "", ""))
        is_local = lies_in_link_local(network)
        for version, number, name, gateway_bridge, gateway in self._sorted[start:]:
            if (version, number) > (network.version, last):
                break
            if name != segment and (not is_local or (bridge or "") == gateway_bridge):
                shown = str(network.network_address) if first == last else str(network)
                verb = "is" if first == last else "contains"
                raise Invalid("gateway-address", f"{shown} {verb} the gateway {gateway} of segment {name}")


def check_overlaps(segments: Mapping[str, SegmentEntry], node: Node, findings: Findings) -> None:
    """Warn of networks that two segments list, or one segment twice: each beside the farthest before it."""
    farthest: _Listed | None = None
    for listed in sorted(_listed(segments, node), key=lambda each: (each.network.version, each.first, -each.last)):
        if farthest and farthest.network.version == listed.network.version and listed.first <= farthest.last:
            message = f"{listed.network} of segment {listed.segment} overlaps {farthest} ({farthest.place})"
            findings.report("segment-overlap", listed.place, message)
            if listed.last <= farthest.last:
                continue
        farthest = listed


@dataclass(frozen=True, slots=True)
class _Listed:
    """A network of a segment."""

    network: IPNetwork
    segment: str
    place: Origin
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.network} of segment {self.segment}"


def _listed(segments: Mapping[str, SegmentEntry], node: Node) -> Iterator[_Listed]:
    for name, entry in segments.items():
        families: tuple[tuple[str, Sequence[IPNetwork]], ...] = (("ipv4", entry.ipv4), ("ipv6", entry.ipv6))
        for family, networks in families:
            for index, network in enumerate(networks):
                yield _Listed(network, name, node.at(name, family, index).origin, *bounds(network))


def check_gateways(name: str, entry: SegmentEntry, node: Node, findings: Findings) -> None:
    networks = _networks(entry)
    for index, gateway in enumerate(entry.gateways):
        if any(gateway in (net.network_address, net.broadcast_address) for net in entry.ipv4 if net.prefixlen < 31):
            message = f"the gateway {gateway} is the first or the last address of a network of segment {name}"
            findings.report("gateway-outside-segment", node.at("gateways", index).origin, message)
        elif networks and not gateway.is_link_local and not any(gateway in network for network in networks):
            message = f"the gateway {gateway} does not lie in segment {name}"
            findings.report("gateway-outside-segment", node.at("gateways", index).origin, message)


def _networks(entry: SegmentEntry) -> tuple[IPNetwork, ...]:
    return (*entry.ipv4, *entry.ipv6)
