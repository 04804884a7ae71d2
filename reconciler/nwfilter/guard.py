"""The filter of one interface, and what the guest's own XML says of it."""

from __future__ import annotations

from uuid import UUID, uuid5

from reconciler.model.filter import FilterRef, NwFilter, Parameters, canonical_parameters
from reconciler.model.guest import Attach, Interface, guard_name
from reconciler.nwfilter.variables import Lookup, ReferenceLoop, required_variables

_MARK_NAMESPACE = UUID("7f6c2a52-1f0b-5b0e-9d55-3c5b6f0a4e11")
LEARNING = "CTRL_IP_LEARNING"
_NO_LEARNING: Parameters = ((LEARNING, "none"),)
"""Fail closed: without it libvirt learns a missing IP from the guest's first packet."""


def guard_filter(guest: str, interface: Interface) -> NwFilter:
    """The guard: a reference to the interface's shared filter with its variables."""
    reference = FilterRef(interface.filter, canonical_parameters(interface.parameters))
    return NwFilter(guard_name(guest, interface.mac), entries=(reference,))


def interface_filterref(guest: str, interface: Interface) -> FilterRef:
    """The `<filterref>` of the guest's XML. libvirt heeds CTRL_IP_LEARNING only there, not in a guard."""
    if interface.attach is Attach.GUARD:
        return FilterRef(guard_name(guest, interface.mac), _NO_LEARNING)
    return unguarded_filterref(interface)


def wanted_filterref(guest: str, interface: Interface, found: FilterRef | None, lookup: Lookup) -> FilterRef:
    """What an interface that has `found` shall have: the same where it lacks only the ban on learning.

    Guests that were defined by other means lack it, and libvirt looks at it only where the filter needs an IP that
    nothing sets. So it is added when something else of the filterref changes, and not for its own sake.
    """
    wanted = interface_filterref(guest, interface)
    if found is None or interface.attach is not Attach.DIRECT or found.values(LEARNING):
        return wanted
    return found if found == without_learning(wanted) and not learns_addresses(lookup, found) else wanted


def without_learning(reference: FilterRef) -> FilterRef:
    """A filterref without the ban on learning."""
    return FilterRef(reference.filter, tuple(pair for pair in reference.parameters if pair not in _NO_LEARNING))


def learns_addresses(lookup: Lookup, filterref: FilterRef | None) -> bool:
    """Whether libvirt waits for the guest to show an address, and then lets it keep that one."""
    if filterref is None or "none" in filterref.values(LEARNING):
        return False
    try:
        needed = required_variables(lookup, filterref.filter)
    except ReferenceLoop:
        return False
    return "IP" in needed and not filterref.values("IP")


def unguarded_filterref(interface: Interface) -> FilterRef:
    """What a port gets in the end, guarded or not: the shared filter with the interface's variables."""
    variables = tuple(parameter for parameter in interface.parameters if parameter[0] != LEARNING)
    return FilterRef(interface.filter, canonical_parameters((*variables, *_NO_LEARNING)))


def mark_uuid(name: str) -> str:
    """The uuid of a filter that we create: our mark. libvirt drops comments and unknown attributes, and keeps this."""
    return str(uuid5(_MARK_NAMESPACE, name))


def temporary_uuid(name: str) -> str:
    """The uuid of a copy that lives for one roll-out: whoever finds it later knows that it was left behind."""
    return str(uuid5(_MARK_NAMESPACE, f"temporary:{name}"))
