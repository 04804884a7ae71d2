"""Hand-overs: an address is released by its old owner before the new one claims it (promise P4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from reconciler.model.drift import Layer
from reconciler.model.guest import Attach, guard_name
from reconciler.model.live import Domain, Live, LiveFilter, Nic
from reconciler.model.plan import Step
from reconciler.model.site import Desired
from reconciler.nwfilter.tolerance import Tolerance
from reconciler.nwfilter.wanted import wanted_filters
from reconciler.plan.addresses import Network, held_networks, overlap, wanted_networks


@dataclass(frozen=True, slots=True)
class _Owner:
    """An interface whose addresses change: what it holds, what it will hold, and the steps that change it."""

    key: tuple[str, str]
    held: frozenset[Network]
    wanted: frozenset[Network]
    steps: tuple[str, ...]


def with_hand_overs(steps: tuple[Step, ...], desired: Desired, live: Live, host: str) -> tuple[Step, ...]:
    """The same steps, those that claim an address placed after all that release it elsewhere."""
    owners = tuple(_owners(steps, desired, live, host))
    later: dict[str, tuple[str, ...]] = {}
    for claimer in owners:
        claimed = claimer.wanted - claimer.held
        for holder in owners if claimed else ():
            if holder.key != claimer.key and overlap(claimed, holder.held):
                for step in claimer.steps:
                    later[step] = (*later.get(step, ()), *holder.steps)
    return tuple(replace(step, after=(*step.after, *later.get(step.id, ()))) for step in steps)


def held_elsewhere(steps: tuple[Step, ...], desired: Desired, live: Live, host: str) -> dict[str, str]:
    """Steps that claim an address which somebody holds whom no step makes release it, and who that is.

    A running guest outside this site that holds it by a filter of ours; a snapshot of any guest.
    """
    managed = {guest.name for guest in desired.guests_on(host)}
    strangers = [domain for domain in live.domains if domain.name not in managed]
    snapshots = tuple(_in_snapshots(live, _guards(desired, host)))
    found: dict[str, str] = {}
    for claimer in _owners(steps, desired, live, host):
        claimed = claimer.wanted - claimer.held
        for domain in strangers if claimed else ():
            if any(_is_ours(live, nic) and overlap(claimed, held_networks(live, nic.filterref)) for nic in domain.live):
                found.update(dict.fromkeys(claimer.steps, f"guest {domain.name}, which this site does not have here,"))
        for name, nic in snapshots if claimed else ():
            if nic.mac != claimer.key[1] and overlap(claimed, held_networks(live, nic.filterref)):
                found.update(dict.fromkeys(claimer.steps, name))
    return found


def _guards(desired: Desired, host: str) -> frozenset[str]:
    guests = desired.guests_on(host)
    return frozenset(guard_name(guest.name, interface.mac) for guest in guests for interface in guest.interfaces)


def _in_snapshots(live: Live, guards: frozenset[str]) -> Iterator[tuple[str, Nic]]:
    """Interfaces of snapshots, but for those with a guard of the site: what that allows, the site says."""
    for domain in live.domains:
        for state in domain.saved:
            for nic in () if state.can_be_rewritten else state.nics:
                if nic.filterref and nic.filterref.filter not in guards:
                    yield f"{state.name} of guest {domain.name}", nic


def kept_elsewhere(steps: tuple[Step, ...], desired: Desired, live: Live, host: str) -> dict[str, str]:
    """Steps that claim an address which another guest keeps because the site ignores that it has it, and that guest."""
    if not desired.ignore:
        return {}
    kept = tuple(_kept(desired, live, host))
    found: dict[str, str] = {}
    for claimer in _owners(steps, desired, live, host):
        claimed = claimer.wanted - claimer.held
        for key, networks in kept if claimed else ():
            if key != claimer.key and overlap(claimed, networks):
                found.update(dict.fromkeys(claimer.steps, key[0]))
    return found


def _kept(desired: Desired, live: Live, host: str) -> Iterator[tuple[tuple[str, str], frozenset[Network]]]:
    """What each interface still has after a plan: what is wanted of it, and what is tolerated."""
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
                    yield (guest.name, interface.mac), held_networks(later, reference)


def _layers(domain: Domain) -> Iterator[tuple[Layer, str, Nic]]:
    """Every definition of a guest's interfaces, with what begins the names of its fields."""
    yield from ((Layer.LIVE, "", nic) for nic in domain.live)
    yield from ((Layer.PERSISTENT, "", nic) for nic in domain.persistent)
    yield from ((Layer.SAVED, f"{state.name}.", nic) for state in domain.saved for nic in state.nics)


def _is_ours(live: Live, nic: Nic) -> bool:
    guard = live.filter(nic.filterref.filter) if nic.filterref else None
    return guard is not None and guard.owned


def _owners(steps: tuple[Step, ...], desired: Desired, live: Live, host: str) -> Iterator[_Owner]:
    planned = {step.id for step in steps}
    for guest in desired.guests_on(host):
        domain = live.domain(guest.name)
        for interface in guest.interfaces:
            nics = [nic for nic in domain.nics if nic.mac == interface.mac] if domain else []
            held = frozenset().union(*(held_networks(live, nic.filterref) for nic in nics)) if nics else frozenset()
            guard = f"filter:{guard_name(guest.name, interface.mac)}" if interface.attach is Attach.GUARD else ""
            own = (guard, f"live:{guest.name}:{interface.mac}", f"saved:{guest.name}", f"guest:{guest.name}")
            mine = tuple(step for step in own if step in planned)
            yield _Owner((guest.name, interface.mac), held, wanted_networks(interface), mine)
