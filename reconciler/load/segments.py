"""Where in a segment an address may lie."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from reconciler.load.files import SegmentEntry
from reconciler.load.findings import Findings, Invalid
from reconciler.load.node import Node
from reconciler.load.values import LINK_LOCAL, IPNetwork, bounds

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
        if self.is_open or (network.version == 6 and network.subnet_of(LINK_LOCAL)):
            return True
        return any(start <= first and last <= end for start, end in self.spans[network.version])


def check_gateways(name: str, entry: SegmentEntry, node: Node, findings: Findings) -> None:
    networks = _networks(entry)
    for index, gateway in enumerate(entry.gateways):
        if networks and not gateway.is_link_local and not any(gateway in network for network in networks):
            message = f"the gateway {gateway} does not lie in segment {name}"
            findings.report("gateway-outside-segment", node.at("gateways", index).origin, message)


def _networks(entry: SegmentEntry) -> tuple[IPNetwork, ...]:
    return (*entry.ipv4, *entry.ipv6)
