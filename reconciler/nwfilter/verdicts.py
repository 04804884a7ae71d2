"""Which frames get another verdict when one site takes another's place: judged on foretold rules, without a host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reconciler.model.change import VerdictChange
from reconciler.model.filter import NwFilter
from reconciler.model.guest import Interface
from reconciler.model.site import Desired
from reconciler.model.supplement import FloodLimit
from reconciler.nwfilter.battery import BatteryCase, battery
from reconciler.nwfilter.evaluate import Evaluator
from reconciler.nwfilter.expand import Expected
from reconciler.nwfilter.floods import CASE
from reconciler.nwfilter.frame import Arp, Packet
from reconciler.nwfilter.instances import CannotInstantiate
from reconciler.nwfilter.subjects import PORT, foretold
from reconciler.nwfilter.supplement import supplement_for
from reconciler.nwfilter.variables import closure

Key = tuple[str, str]
Definitions = Mapping[str, NwFilter]


def verdict_changes(before: Desired, after: Desired) -> tuple[VerdictChange, ...]:
    """Cases of interfaces that are in both sites and whose verdict differs, by guest and MAC.

    An interface whose filters are not all in the site (libvirt's own) is not judged: what a host has of them is not
    known here. Raises `UsageError` where scapy is not installed.
    """
    old_filters, new_filters = _definitions(before), _definitions(after)
    old, new = _interfaces(before), _interfaces(after)
    found: list[VerdictChange] = []
    for key in sorted(old.keys() & new.keys()):
        beside = supplement_for(before, old[key]), supplement_for(after, new[key])
        if beside[0] == beside[1] and _is_same(old[key], new[key], old_filters, new_filters):
            continue
        was, will_be = _foretold(old_filters, old[key]), _foretold(new_filters, new[key])
        if was is not None and will_be is not None:
            judges = Evaluator.of(was, beside[0]), Evaluator.of(will_be, beside[1])
            found.extend(_differences(key, *judges, _cases(old[key], new[key])))
    limits = before.policy.flood_limit, after.policy.flood_limit
    found.extend(each for key in sorted(old.keys() & new.keys()) for each in _floods(key, *limits))
    return tuple(found)


def _floods(key: Key, before: FloodLimit | None, after: FloodLimit | None) -> Iterator[VerdictChange]:
    """A flood that one of the limits cuts and the other does not; more at once is more, as more in a second is."""
    if before != after:
        opens = before is not None and (after is None or after.rate > before.rate or after.burst > before.burst)
        words = ("drop", "pass") if opens else ("pass", "drop")
        yield VerdictChange(*key, key[1], CASE, *words)


def _definitions(desired: Desired) -> Definitions:
    return {definition.name: definition for definition in desired.filters}


def _interfaces(desired: Desired) -> dict[Key, Interface]:
    return {(guest.name, i.mac): i for guest in desired.guests for i in guest.interfaces}


def _is_same(old: Interface, new: Interface, old_filters: Definitions, new_filters: Definitions) -> bool:
    if (old.filter, old.parameters) != (new.filter, new.parameters):
        return False
    names = closure(new_filters.get, new.filter)
    return all(old_filters.get(name) == new_filters.get(name) for name in names)


def _foretold(filters: Definitions, interface: Interface) -> Expected | None:
    try:
        return foretold(filters, interface)
    except CannotInstantiate:
        return None


def _cases(old: Interface, new: Interface) -> dict[bytes, BatteryCase]:
    """What the old interface may send, and the new one's whole battery: what is foreign is said by the new one."""
    permitted = [case for case in battery(old) if case.expected == "pass"]
    return {case.data: case for case in (*permitted, *battery(new))}


def _differences(
    key: Key, before: Evaluator, after: Evaluator, cases: Mapping[bytes, BatteryCase]
) -> Iterator[VerdictChange]:
    for case in cases.values():
        verdicts = [evaluator.case(case, PORT).passes for evaluator in (before, after)]
        if verdicts[0] != verdicts[1]:
            words = ["pass" if passes else "drop" for passes in verdicts]
            yield VerdictChange(*key, _sender(case), case.id, *words)


def _sender(case: BatteryCase) -> str:
    match case.frame.payload:
        case Packet(source=source):
            return str(source)
        case Arp(sender_ip=address) if address is not None:
            return str(address)
        case _:
            return case.frame.source
