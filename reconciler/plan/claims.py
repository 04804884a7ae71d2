"""Addresses that come from another host: claimed here only after that host has said that it let go (promise P4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.model.filter import FilterRef
from reconciler.model.guest import guard_name
from reconciler.model.live import Live
from reconciler.model.site import Desired
from reconciler.plan.addresses import Network, held_networks, overlap, wanted_networks


@dataclass(frozen=True, slots=True)
class Claim:
    """Addresses that a guest of this host is to have and has not. `hosts` are those that had to let go of them."""

    guest: str
    networks: frozenset[Network]
    hosts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Holding:
    """What a guest holds on a host, as that host has published it."""

    guest: str
    networks: frozenset[Network]


def claims(before: Desired | None, desired: Desired, live: Live, host: str) -> tuple[Claim, ...]:
    """What this host would claim. `before` is the site that was applied here last; it says who had an address."""
    found = []
    for guest in desired.guests_on(host):
        missing = frozenset().union(
            *(_missing(guest.name, each.mac, wanted_networks(each), live) for each in guest.interfaces)
        )
        if missing:
            found.append(Claim(guest.name, missing, _owners(before, guest.name, missing, host)))
    return tuple(found)


def holdings(live: Live) -> tuple[Holding, ...]:
    """What guests hold on this host by their filters, whether the site has them or not."""
    found: dict[str, frozenset[Network]] = {}
    for domain in live.domains:
        for nic in domain.nics:
            found[domain.name] = found.get(domain.name, frozenset()) | held_networks(live, nic.filterref)
    return tuple(Holding(name, networks) for name, networks in sorted(found.items()) if networks)


def unreleased(claim: Claim, reached: Iterable[str], held: Mapping[str, tuple[Holding, ...]]) -> str | None:
    """The first host that a claim has to wait for: it had the address and has not `reached` this commit, or it holds
    the address for another guest."""
    waits = sorted(claim.hosts - set(reached))
    if waits:
        return waits[0]
    for host, holdings in sorted(held.items()):
        if any(each.guest != claim.guest and overlap(claim.networks, each.networks) for each in holdings):
            return host
    return None


def _missing(guest: str, mac: str, wanted: frozenset[Network], live: Live) -> frozenset[Network]:
    """A guest that is elsewhere has its guard here all the same, and holds what that says."""
    domain = live.domain(guest)
    nics = [nic for nic in (*domain.live, *domain.persistent) if nic.mac == mac] if domain else []
    references = (FilterRef(guard_name(guest, mac)), *(nic.filterref for nic in nics))
    return wanted.difference(*(held_networks(live, reference) for reference in references))


def _owners(before: Desired | None, guest: str, networks: frozenset[Network], host: str) -> frozenset[str]:
    """The other hosts on which another guest had one of these addresses."""
    found: set[str] = set()
    for other in before.guests if before else ():
        theirs = frozenset().union(*(wanted_networks(each) for each in other.interfaces))
        if other.name != guest and overlap(networks, theirs):
            found.update(other.hosts or (before.hosts if before else ()))
    return frozenset(found - {host})
