"""Who owns which addresses now, and who will: the ground of hand-overs (promise P4)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from reconciler.model.filter import FilterRef
from reconciler.model.guest import Interface
from reconciler.model.live import Live

Network = IPv4Network | IPv6Network

_VARIABLES = (("IP", "IPMASK", 32), ("IPV6", "IPV6MASK", 128))
_MOST_KEPT = 65_536
_MOST_NAMED = 3


def wanted_networks(interface: Interface) -> frozenset[Network]:
    """What an interface claims; link-local addresses are each link's own and are never handed over."""
    own: tuple[Network, ...] = (*interface.ipv4, *interface.ipv6)
    return frozenset(network for network in own if not network.is_link_local)


def held_networks(live: Live, reference: FilterRef | None) -> frozenset[Network]:
    """What a filterref allows now: its own variables, or those of the guard that it refers to."""
    if reference is None:
        return frozenset()
    own = _networks(reference)
    if own:
        return own
    guard = live.filter(reference.filter)
    inner = [entry for entry in guard.definition.entries if isinstance(entry, FilterRef)] if guard else []
    return frozenset().union(*(_networks(entry) for entry in inner)) if inner else frozenset()


def named(networks: Iterable[Network]) -> str:
    """The first few, as people write them."""
    found = sorted(networks, key=lambda network: (network.version, int(network.network_address), network.prefixlen))
    names = [str(each).removesuffix(f"/{each.max_prefixlen}") for each in found[:_MOST_NAMED]]
    more = len(found) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def overlap(some: Iterable[Network], others: Iterable[Network]) -> bool:
    theirs = tuple(others)
    return any(one.version == other.version and one.overlaps(other) for one in some for other in theirs)


@lru_cache(maxsize=_MOST_KEPT)
def _networks(reference: FilterRef) -> frozenset[Network]:
    found: set[Network] = set()
    for name, mask_name, full in _VARIABLES:
        addresses, masks = reference.values(name), reference.values(mask_name)
        for index, address in enumerate(addresses):
            network = _network(address, masks[index] if index < len(masks) else str(full))
            if network is not None and not network.is_link_local:
                found.add(network)
    return frozenset(found)


def _network(address: str, mask: str) -> Network | None:
    try:
        return ip_network(f"{address}/{mask}", strict=False)
    except ValueError:
        return None
