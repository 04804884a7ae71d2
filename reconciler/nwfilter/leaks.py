"""What a site's filters let through that they should not, and stop that they should not: once for like interfaces."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from reconciler.model.coverage import FilterCoverage
from reconciler.model.guest import Interface
from reconciler.model.site import Desired
from reconciler.nwfilter.battery import battery
from reconciler.nwfilter.evaluate import Evaluator
from reconciler.nwfilter.instances import CannotInstantiate
from reconciler.nwfilter.subjects import PORT, foretold, with_neighbours
from reconciler.nwfilter.supplement import supplement_for

_Kind = tuple[object, ...]


def filter_coverage(desired: Desired) -> tuple[FilterCoverage, ...]:
    """Each filter on the first interface of each kind that uses it. Raises UsageError without scapy.

    One that refers to filters of libvirt's own is not judged: what they do is only known on a host.
    """
    definitions = {definition.name: definition for definition in desired.filters}
    counts = Counter(_kind(interface) for guest in desired.guests for interface in guest.interfaces)
    found: dict[_Kind, FilterCoverage] = {}
    for guest, interface, neighbours in with_neighbours(desired.guests):
        kind = _kind(interface)
        if kind in found:
            continue
        found[kind] = FilterCoverage(interface.filter, guest.name, counts[kind])
        try:
            expected = foretold(definitions, interface)
        except CannotInstantiate:
            continue
        if expected is None:
            continue
        evaluator = Evaluator.of(expected, supplement_for(desired, interface))
        cases = battery(interface, neighbours)
        passing = {case.id for case in cases if evaluator.case(case, PORT).passes}
        wrong = [case for case in cases if (case.expected == "pass") != (case.id in passing)]
        found[kind] = replace(
            found[kind],
            total=len(cases),
            leaks=tuple(case.id for case in wrong if case.expected == "drop" and not case.inexpressible),
            inexpressible=tuple(case.id for case in wrong if case.expected == "drop" and case.inexpressible),
            stops=tuple(case.id for case in wrong if case.expected == "pass"),
        )
    return tuple(sorted(found.values(), key=lambda each: (each.filter, each.guest)))


def _kind(interface: Interface) -> _Kind:
    return interface.filter, interface.roles, bool(interface.ipv4), bool(interface.ipv6)
