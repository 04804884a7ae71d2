"""Who holds which addresses on a host now, who will, and by which steps they are released: the ground of hand-overs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from reconciler.model.drift import Layer
from reconciler.model.guest import Attach, Guest, Interface, guard_name
from reconciler.model.live import Domain, Live, LiveFilter, Nic
from reconciler.model.plan import Step
from reconciler.model.site import Desired
from reconciler.nwfilter.tolerance import Tolerance
from reconciler.nwfilter.wanted import wanted_filters
from reconciler.plan.addresses import Network, held_networks, wanted_networks

Key = tuple[str, str]
"""A guest and the MAC of one of its interfaces."""


@dataclass(frozen=True, slots=True)
class Owner:
    """An interface: what it holds in any layer, what it claims, and the steps that change it.

    What it claims is what it shall have and does not have where it counts: running, or else stored. `interface` is None
    for one that the site does not mention, of a guest that the plan stops. `released`: it runs with nothing that it has
    to give up; only what is stored may say so still.
    """

    key: Key
    interface: Interface | None
    held: frozenset[Network]
    claimed: frozenset[Network]
    steps: tuple[str, ...]
    released: bool = False


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who holds addresses, and whom no step makes release them; `name` as a message says it."""

    guest: str
    held: frozenset[Network]
    name: str


def owners(steps: Iterable[Step], desired: Desired, live: Live, host: str) -> Iterator[Owner]:
    """Of interfaces that some step changes: nobody waits for the others, and they wait for nobody."""
    planned = {step.id for step in steps}
    for guest in desired.guests_on(host):
        domain = live.domain(guest.name)
        for interface in guest.interfaces:
            if not any(_own_steps(guest, interface, planned, has_to_stop=True)):
                continue
            nics = _with_mac(domain.nics, interface.mac) if domain else ()
            has = _with_mac(domain.live if domain.active else domain.persistent, interface.mac) if domain else ()
            wanted = wanted_networks(interface)
            runs_with = _held(live, _with_mac(domain.live, interface.mac)) if domain else frozenset()
            gives_up = bool(runs_with - wanted)
            own = tuple(_own_steps(guest, interface, planned, has_to_stop=gives_up))
            claimed = wanted - _held(live, has)
            released = domain is not None and domain.active and not gives_up
            yield Owner((guest.name, interface.mac), interface, _held(live, nics), claimed, own, released)
        if domain is not None and f"stop:{guest.name}" in planned:
            for nic in _unmentioned_nics(guest, domain):
                held = held_networks(live, nic.filterref)
                yield Owner((guest.name, nic.mac), None, held, frozenset(), (f"stop:{guest.name}",))


def _unmentioned_nics(guest: Guest, domain: Domain) -> Iterator[Nic]:
    mentioned = {interface.mac for interface in guest.interfaces}
    return (nic for nic in domain.live if nic.mac not in mentioned)


def _own_steps(guest: Guest, interface: Interface, planned: set[str], *, has_to_stop: bool) -> Iterator[str]:
    """Ids of the planned steps by which an interface gives up addresses and gets others.

    A port with addresses of its own gives them up when it is switched, or else when its guest goes down.
    """
    live = f"live:{guest.name}:{interface.mac}"
    found = [live, f"saved:{guest.name}", f"guest:{guest.name}"]
    if interface.attach is Attach.GUARD:
        found.insert(0, f"filter:{guard_name(guest.name, interface.mac)}")
    elif has_to_stop and live not in planned:
        found.insert(0, f"stop:{guest.name}")
    return (id for id in found if id in planned)


def keepers(steps: Iterable[Step], desired: Desired, live: Live, host: str) -> Iterator[Holder]:
    """Running guests outside the site with a filter of ours, interfaces that it does not mention, and snapshots.

    What the site ignores is kept too.
    """
    planned = {step.id for step in steps}
    guests = {guest.name: guest for guest in desired.guests_on(host)}
    guards = {guard_name(g.name, interface.mac) for g in guests.values() for interface in g.interfaces}
    for domain in live.domains:
        guest = guests.get(domain.name)
        if guest is None:
            yield from _strangers(domain, live)
        elif f"stop:{domain.name}" not in planned:
            yield from _unmentioned(guest, domain, live)
        yield from _snapshots(domain, live, guards)
    if desired.ignore:
        yield from _ignored(desired, live, host)


def _strangers(domain: Domain, live: Live) -> Iterator[Holder]:
    for nic in domain.live:
        guard = live.filter(nic.filterref.filter) if nic.filterref else None
        if guard is not None and guard.owned:
            name = f"guest {domain.name}, which this site does not have here,"
            yield Holder(domain.name, held_networks(live, nic.filterref), name)


def _unmentioned(guest: Guest, domain: Domain, live: Live) -> Iterator[Holder]:
    for nic in _unmentioned_nics(guest, domain):
        name = f"interface {nic.mac} of guest {guest.name}, which the site does not mention,"
        yield Holder(guest.name, held_networks(live, nic.filterref), name)


def _snapshots(domain: Domain, live: Live, guards: set[str]) -> Iterator[Holder]:
    """Not those with a guard of the site: what that allows, the site says."""
    for state in domain.saved:
        for nic in () if state.can_be_rewritten else state.nics:
            if nic.filterref and nic.filterref.filter not in guards:
                name = f"{state.name} of guest {domain.name}"
                yield Holder(domain.name, held_networks(live, nic.filterref), name)


def _ignored(desired: Desired, live: Live, host: str) -> Iterator[Holder]:
    """What each interface still has after a plan that it should not have: the site ignores that it has it."""
    tolerance = Tolerance(desired.ignore)
    known = {f.definition.name: f for f in live.filters}
    known |= {d.name: LiveFilter(d, "", False) for d in tolerance.filters(wanted_filters(desired, host), live)}
    later = replace(live, filters=tuple(known.values()))
    lookup = {name: each.definition for name, each in known.items()}.get
    for guest in desired.guests_on(host):
        domain = live.domain(guest.name)
        layers = tuple(_layers(domain)) if domain else ()
        for interface in guest.interfaces:
            for layer, within, nic in layers:
                if nic.mac == interface.mac:
                    reference = tolerance.interface(guest.name, interface, layer, nic.filterref, lookup, within)
                    name = f"guest {guest.name}, of which the site ignores that it has it,"
                    yield Holder(guest.name, held_networks(later, reference), name)


def _layers(domain: Domain) -> Iterator[tuple[Layer, str, Nic]]:
    """Every definition of a guest's interfaces, with what begins the names of its fields."""
    yield from ((Layer.LIVE, "", nic) for nic in domain.live)
    yield from ((Layer.PERSISTENT, "", nic) for nic in domain.persistent)
    yield from ((Layer.SAVED, f"{state.name}.", nic) for state in domain.saved for nic in state.nics)


def _with_mac(nics: tuple[Nic, ...], mac: str) -> tuple[Nic, ...]:
    return tuple(nic for nic in nics if nic.mac == mac)


def _held(live: Live, nics: Iterable[Nic]) -> frozenset[Network]:
    return frozenset(network for nic in nics for network in held_networks(live, nic.filterref))
