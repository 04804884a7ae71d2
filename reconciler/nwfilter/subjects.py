"""The interfaces of a site, one by one: which is meant, what is foreign to it, and which rules it will get."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from reconciler.errors import UsageError, did_you_mean
from reconciler.model.filter import NwFilter
from reconciler.model.guest import Guest, Interface
from reconciler.model.kernel import Backend
from reconciler.model.live import Live, Nic
from reconciler.model.site import Desired
from reconciler.nwfilter.expand import Expected, expand
from reconciler.nwfilter.guard import unguarded_filterref
from reconciler.nwfilter.stock import STOCK_FILTERS
from reconciler.nwfilter.variables import closure
from reconciler.nwfilter.wanted import wanted_filters

if TYPE_CHECKING:
    from reconciler.model.coverage import Unmanaged
    from reconciler.nwfilter.battery import Address

PORT = "port"
"""The port of rules that are foretold without a host."""

_NEIGHBOURS = 4


def with_neighbours(guests: Iterable[Guest]) -> Iterator[tuple[Guest, Interface, tuple[Address, ...]]]:
    """Every interface with the addresses of the next ones: what a guest forges first is its neighbour's."""
    pairs = [(guest, interface) for guest in guests for interface in guest.interfaces]
    first = [tuple(_first_addresses(interface)) for _, interface in pairs]
    for position, (guest, interface) in enumerate(pairs):
        others = range(position + 1, position + 1 + min(_NEIGHBOURS, len(pairs) - 1))
        yield guest, interface, tuple(address for other in others for address in first[other % len(pairs)])


def _first_addresses(interface: Interface) -> Iterator[Address]:
    yield from (network.network_address for network in interface.ipv4)
    yield from (network.network_address for network in interface.ipv6)


def unmentioned(guest: Guest, live: Live) -> Iterator[Nic]:
    """What a managed guest has that the site says nothing about; of several interfaces of one MAC all but the first."""
    domain = live.domain(guest.name)
    mentioned = {interface.mac for interface in guest.interfaces}
    for nic in domain.live if domain else ():
        if nic.mac not in mentioned:
            yield nic
        mentioned.discard(nic.mac)


def unmanaged(desired: Desired, live: Live, host: str) -> Unmanaged:
    """What a host has beside its part of the site."""
    from reconciler.model.coverage import Unmanaged

    guests = desired.guests_on(host)
    names = {guest.name for guest in guests}
    wanted = {definition.name for definition in wanted_filters(desired, host)} | STOCK_FILTERS.keys()
    return Unmanaged(
        tuple(domain.name for domain in live.domains if domain.name not in names),
        tuple((guest.name, nic.mac) for guest in guests for nic in unmentioned(guest, live)),
        tuple(held.definition.name for held in live.filters if held.definition.name not in wanted),
    )


def running_nic(guest: str, mac: str, live: Live) -> Nic | None:
    """An interface of a guest as it runs; its port is known only then."""
    domain = live.domain(guest)
    return next((nic for nic in domain.live if nic.mac == mac), None) if domain else None


def find_guest(guests: tuple[Guest, ...], name: str) -> Guest:
    """Raises UsageError for a name that no guest has."""
    guest = next((guest for guest in guests if guest.name == name), None)
    if guest is None:
        names = [guest.name for guest in guests]
        hint = did_you_mean(name, names) or _listed("it has", names)
        raise UsageError(f"the site has no guest '{name}' here", hint=hint)
    return guest


def find_interface(guests: tuple[Guest, ...], name: str, mac: str | None) -> tuple[Guest, Interface]:
    """The interface of a guest that is meant; without a MAC the only one. Raises UsageError."""
    guest = find_guest(guests, name)
    macs = [interface.mac for interface in guest.interfaces]
    if mac is None and len(macs) > 1:
        raise UsageError(f"{name} has {len(macs)} interfaces", hint=f"name one with --mac: {', '.join(macs)}")
    found = next((i for i in guest.interfaces if mac is None or i.mac == mac.lower().replace("-", ":")), None)
    if found is None:
        raise UsageError(f"{name} has no interface {mac or ''}".rstrip(), hint=_listed("it has", macs))
    return guest, found


def _listed(word: str, names: list[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{word} {', '.join(names[:most]) or 'none'}{more}"


def foretold(
    filters: Mapping[str, NwFilter], interface: Interface, backend: Backend = Backend.IPTABLES
) -> Expected | None:
    """The rules that libvirt will make for an interface; None where they need a filter that is not known here.

    Raises CannotInstantiate where libvirt would refuse them.
    """
    if any(name not in filters for name in closure(filters.get, interface.filter)):
        return None
    return expand(filters.get, unguarded_filterref(interface), interface.mac, PORT, backend)
