"""What a host must hold for its part of a site: shared filters, guards, and what can be seen of them."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.model.filter import NwFilter, Rule
from reconciler.model.guest import Attach
from reconciler.model.kernel import Family
from reconciler.model.site import Desired
from reconciler.nwfilter.guard import guard_filter
from reconciler.nwfilter.variables import Lookup, closure

_SOURCE_ATTRIBUTES = {"ip": "srcipaddr", "arp": "arpsrcipaddr", "rarp": "arpsrcipaddr", "ipv6": "srcipaddr"}
_ETHERNET = frozenset({"mac", "vlan", "stp", "arp", "rarp", "ip", "ipv6"})


def wanted_filters(desired: Desired, host: str) -> tuple[NwFilter, ...]:
    """The site's shared filters, then the guard of every guarded interface that may be on this host."""
    guards = (
        guard_filter(guest.name, interface)
        for guest in desired.guests_on(host)
        for interface in guest.interfaces
        if interface.attach is Attach.GUARD
    )
    return (*desired.filters, *guards)


def reached(lookup: Lookup, name: str) -> tuple[NwFilter, ...]:
    """A filter and all that it refers to, each once; what nobody defines is left out."""
    return tuple(definition for definition in map(lookup, closure(lookup, name)) if definition is not None)


def visible_families(lookup: Lookup, name: str) -> frozenset[int]:
    """IP versions whose own addresses must show up as sources in ethernet-level rules of a port under this filter."""
    return frozenset(
        6 if value.startswith("$IPV6") else 4
        for rule in _outgoing(lookup, name)
        for match in rule.matches
        for attribute, value in match.attributes
        if attribute == _SOURCE_ATTRIBUTES.get(match.protocol) and value.startswith("$IP") and not match.negated
    )


def has_packet_rules(lookup: Lookup, name: str) -> bool:
    """Whether libvirt makes iptables or ip6tables rules for a port under this filter."""
    return bool(packet_families(lookup, name))


def packet_families(lookup: Lookup, name: str) -> frozenset[Family]:
    """For which families libvirt makes packet-level rules for a port under this filter."""
    protocols = (
        entry.matches[0].protocol
        for definition in reached(lookup, name)
        for entry in definition.entries
        if isinstance(entry, Rule) and entry.matches
    )
    return frozenset(
        Family.IPV6 if protocol.endswith("v6") else Family.IPV4 for protocol in protocols if protocol not in _ETHERNET
    )


def _outgoing(lookup: Lookup, name: str) -> Iterator[Rule]:
    for definition in reached(lookup, name):
        for entry in definition.entries:
            if isinstance(entry, Rule) and entry.direction in ("out", "inout"):
                yield entry
