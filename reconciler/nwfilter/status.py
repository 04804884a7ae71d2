"""Each interface's filter, how it is enforced and what it covers: on a host's own rules, or as the site foretells."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.model.coverage import Coverage, InterfaceStatus
from reconciler.model.filter import FilterRef, NwFilter
from reconciler.model.guest import Guest, Interface
from reconciler.model.kernel import Backend
from reconciler.model.live import Live, Nic
from reconciler.model.outcome import InterfaceProof, Proof
from reconciler.model.site import Desired
from reconciler.model.supplement import Supplement
from reconciler.nwfilter.battery import Address, Direction, Question, battery
from reconciler.nwfilter.coverage import JudgedFrame, coverage
from reconciler.nwfilter.evaluate import Evaluator
from reconciler.nwfilter.floods import flood_cases
from reconciler.nwfilter.guard import interface_filterref, learns_addresses
from reconciler.nwfilter.instances import CannotInstantiate
from reconciler.nwfilter.prove import judged, probes, structure
from reconciler.nwfilter.subjects import PORT, foretold, running_nic, unmentioned, with_neighbours
from reconciler.nwfilter.supplement import supplement_for
from reconciler.nwfilter.wanted import visible_families

Filters = Mapping[str, NwFilter]
Frames = tuple[JudgedFrame, ...]


def status_of_site(desired: Desired, guests: tuple[Guest, ...], *, whole_battery: bool) -> tuple[InterfaceStatus, ...]:
    """Without a host. Nothing is foretold of interfaces whose filters are not all in the site."""
    filters = {definition.name: definition for definition in desired.filters}
    found: list[InterfaceStatus] = []
    for guest, interface, neighbours in with_neighbours(guests):
        frames = _foretold_frames(
            filters, interface, _questions(interface, neighbours, whole_battery), supplement_for(desired, interface)
        )
        covered = _coverage(desired, interface, frames, learns=False)
        found.append(InterfaceStatus(guest.name, interface.mac, interface.filter, coverage=covered))
    return tuple(found)


def status_of_host(desired: Desired, live: Live, host: str, *, whole_battery: bool) -> tuple[InterfaceStatus, ...]:
    """Running interfaces on the kernel's rules, others as their filters foretell; then those that no file mentions."""
    look = _Look(desired, live)
    found = [
        look.at(guest, interface, _questions(interface, neighbours, whole_battery))
        for guest, interface, neighbours in with_neighbours(desired.guests_on(host))
    ]
    found.extend(
        InterfaceStatus(
            guest.name,
            nic.mac,
            nic.filterref.filter if nic.filterref else None,
            Proof.UNGUARDED,
            nic.port,
            trusts_guest=nic.trusts_guest,
        )
        for guest in desired.guests_on(host)
        for nic in unmentioned(guest, live)
    )
    return tuple(found)


class _Look:
    """One reading of a host, whose rules are compiled once for all interfaces."""

    def __init__(self, desired: Desired, live: Live) -> None:
        self._desired = desired
        self._live = live
        self._evaluator = Evaluator.on(live.kernel)
        self._held = {f.definition.name: f.definition for f in live.filters}
        self._known = self._held | {definition.name: definition for definition in desired.filters}

    def at(self, guest: Guest, interface: Interface, questions: tuple[Question, ...]) -> InterfaceStatus:
        nic = running_nic(guest.name, interface.mac, self._live)
        reference = interface_filterref(guest.name, interface)
        if nic is None or nic.port is None:
            supplement = supplement_for(self._desired, interface)
            frames = _foretold_frames(self._known, interface, questions, supplement, self._live.kernel.backend)
            covered = _coverage(self._desired, interface, frames, learns=False)
            return InterfaceStatus(guest.name, interface.mac, interface.filter, Proof.NOT_RUNNING, coverage=covered)
        frames = _judged_frames(self._evaluator, nic.port, interface, questions)
        learns = learns_addresses(self._held.get, nic.filterref)
        return InterfaceStatus(
            guest.name,
            interface.mac,
            _shown_filter(interface, reference, nic),
            Proof.ABSENT if self._live.has_lost(nic) else self._proof(guest, interface, nic.port, frames),
            nic.port,
            _coverage(self._desired, interface, frames, learns=learns),
            trusts_guest=nic.trusts_guest,
        )

    def _proof(self, guest: Guest, interface: Interface, port: str, frames: Frames) -> Proof:
        visible = visible_families(self._held.get, interface.filter)
        cases = structure(self._live.kernel.ethernet, port, interface, visible)
        floods = flood_cases(self._live.kernel.supplement, interface.mac, self._desired.policy.flood_limit)
        return InterfaceProof(guest.name, interface.mac, port, (*cases, *(each.case for each in frames), *floods)).proof


def _shown_filter(interface: Interface, wanted: FilterRef, nic: Nic) -> str | None:
    if nic.filterref is None:
        return None
    return interface.filter if nic.filterref.filter == wanted.filter else nic.filterref.filter


def _questions(interface: Interface, neighbours: tuple[Address, ...], whole: bool) -> tuple[Question, ...]:
    return battery(interface, neighbours) if whole else tuple(probes(interface))


def _foretold_frames(
    filters: Filters,
    interface: Interface,
    questions: tuple[Question, ...],
    supplement: Supplement | None,
    backend: Backend = Backend.IPTABLES,
) -> Frames:
    """None at all where the rules are not known, or libvirt would refuse them."""
    try:
        expected = foretold(filters, interface, backend)
    except CannotInstantiate:
        return ()
    return _judged_frames(Evaluator.of(expected, supplement), PORT, interface, questions) if expected else ()


def _judged_frames(evaluator: Evaluator, port: str, interface: Interface, questions: tuple[Question, ...]) -> Frames:
    cases = judged(evaluator, port, interface.mac, questions)
    return tuple(
        JudgedFrame(question.frame, case, question.direction is Direction.OUT)
        for question, case in zip(questions, cases, strict=True)
    )


def _coverage(desired: Desired, interface: Interface, frames: Frames, *, learns: bool) -> Coverage | None:
    segment = next((each for each in desired.segments if each.name == interface.segment), None)
    return coverage(interface, frames, segment, learns=learns) if frames else None
