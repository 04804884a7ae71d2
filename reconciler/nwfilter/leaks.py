"""What a site's filters let through that they should not, and stop that they should not: once for like interfaces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from reconciler.model.coverage import FilterCoverage, Subject
from reconciler.model.filter import NwFilter
from reconciler.model.guest import Interface
from reconciler.model.site import Desired
from reconciler.nwfilter.instances import CannotInstantiate
from reconciler.nwfilter.subjects import PORT, foretold, with_neighbours
from reconciler.nwfilter.supplement import supplement_for

_Kind = tuple[object, ...]


def subjects(desired: Desired) -> tuple[Subject, ...]:
    """By filter and guest."""
    counts = Counter(_kind(interface) for guest in desired.guests for interface in guest.interfaces)
    found: dict[_Kind, Subject] = {}
    for guest, interface, neighbours in with_neighbours(desired.guests):
        kind = _kind(interface)
        if kind not in found:
            found[kind] = Subject(guest.name, interface, neighbours, counts[kind])
    return tuple(sorted(found.values(), key=lambda each: (each.interface.filter, each.guest)))


def judged(desired: Desired, chosen: Iterable[Subject]) -> dict[Subject, FilterCoverage]:
    """The verdict on the filter of each of them. Raises UsageError without scapy.

    One that refers to filters of libvirt's own is not judged: what they do is only known on a host.
    """
    definitions = {definition.name: definition for definition in desired.filters}
    return {subject: _judged(desired, definitions, subject) for subject in chosen}


def _judged(desired: Desired, definitions: Mapping[str, NwFilter], subject: Subject) -> FilterCoverage:
    from reconciler.nwfilter.battery import battery
    from reconciler.nwfilter.evaluate import Evaluator

    try:
        expected = foretold(definitions, subject.interface)
    except CannotInstantiate:
        expected = None
    if expected is None:
        return subject.unjudged
    evaluator = Evaluator.of(expected, supplement_for(desired, subject.interface))
    cases = battery(subject.interface, subject.neighbours)
    passing = {case.id for case in cases if evaluator.case(case, PORT).passes}
    wrong = [case for case in cases if (case.expected == "pass") != (case.id in passing)]
    return replace(
        subject.unjudged,
        total=len(cases),
        leaks=tuple(case.id for case in wrong if case.expected == "drop" and not case.inexpressible),
        inexpressible=tuple(case.id for case in wrong if case.expected == "drop" and case.inexpressible),
        stops=tuple(case.id for case in wrong if case.expected == "pass"),
    )


def _kind(interface: Interface) -> _Kind:
    return interface.filter, interface.roles, bool(interface.ipv4), bool(interface.ipv6)
