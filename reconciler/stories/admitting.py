"""Write down what was verified, for libvirt's own hook to compare with when a guest starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from reconciler.admission.hook import RECORD
from reconciler.admission.judge import digest
from reconciler.model.filter import FilterRef
from reconciler.model.guest import Guest
from reconciler.model.live import Live
from reconciler.nwfilter.guard import interface_filterref
from reconciler.plan.addresses import wanted_networks
from reconciler.records.files import recall, remove_record, write_record
from reconciler.settings import Settings

if TYPE_CHECKING:
    from reconciler.app import Survey


def write_admission(settings: Settings, seen: Survey) -> None:
    """After a run that left nothing in doubt. Writes nothing where nothing is new; forgets when it is not wanted."""
    path = settings.var / RECORD
    if settings.admission == "off":
        forget_admission(settings)
        return
    record = admission_record(settings.admission, seen)
    if recall(path) != record:
        write_record(path, record)


def forget_admission(settings: Settings) -> None:
    """What was verified is no measure any more, until the next good run."""
    if (settings.var / RECORD).exists():
        remove_record(settings.var / RECORD)


def admission_record(policy: str, seen: Survey) -> dict[str, Any]:
    """Every guest of the site; of those whose state is not as wanted nothing is known, and nothing is demanded."""
    here = {guest.name for guest in seen.desired.guests_on(seen.host)}
    drifts = {each.object for each in seen.drift if each.counts}
    guests = {
        guest.name: _guest(guest, seen.live, is_here=guest.name in here)
        for guest in seen.desired.guests
        if f"guest/{guest.name}" not in drifts
    }
    return {"schema": 1, "policy": policy, "commit": seen.desired.source, "guests": guests, "filters": _filters(seen)}


def _guest(guest: Guest, live: Live, *, is_here: bool) -> dict[str, Any]:
    networks = sorted({str(network) for each in guest.interfaces for network in wanted_networks(each)})
    return {"here": is_here, "interfaces": dict(_interfaces(guest, live)), "networks": networks}


def _interfaces(guest: Guest, live: Live) -> Iterator[tuple[str, dict[str, Any]]]:
    """As the stored definition has it, which was compared with the site; of a guest elsewhere as the site has it."""
    domain = live.domain(guest.name)
    held = {nic.mac: nic.filterref for nic in domain.persistent} if domain else {}
    for interface in guest.interfaces:
        found = held.get(interface.mac) or interface_filterref(guest.name, interface)
        yield interface.mac, _filterref(found)


def _filterref(found: FilterRef) -> dict[str, Any]:
    return {"filter": found.filter, "parameters": [list(each) for each in found.parameters]}


def _filters(seen: Survey) -> dict[str, Any]:
    """Those that are as wanted; one that is not has no digest, so a guest with it is told."""
    drifts = {each.object for each in seen.drift if each.counts}
    return {
        each.definition.name: {"digest": digest(each.xml.encode()), "references": list(each.definition.references)}
        for each in seen.live.filters
        if f"filter/{each.definition.name}" not in drifts
    }
