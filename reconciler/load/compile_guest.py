"""A guest of a site without errors, from its draft to the model."""

from __future__ import annotations

from reconciler.load.draft import GuestDraft, InterfaceDraft
from reconciler.load.filters import FilterSet
from reconciler.load.findings import Findings
from reconciler.load.probes import build_probes
from reconciler.load.siteview import SiteView
from reconciler.load.variables import compile_variables, forms_of, roles_of, select_filter, surroundings
from reconciler.model.guest import Attach, Guest, Interface, Power


def bridge_of(draft: InterfaceDraft, site: SiteView | None) -> str | None:
    segment = site.file.segments.get(draft.entry.segment or "") if site else None
    return segment.bridge if segment else draft.entry.bridge


def compile_guest(guest: GuestDraft, site: SiteView, filters: FilterSet) -> Guest:
    file = guest.file
    return Guest(
        name=file.name,
        interfaces=tuple(_interface(draft, site, filters) for draft in guest.interfaces),
        hosts=tuple(file.hosts or ()),
        power=Power(file.power),
        autostart=file.autostart,
        group=file.group,
        hold=file.hold,
        health=build_probes(guest, site),
        origin=guest.node.at("name").origin,
    )


def _interface(draft: InterfaceDraft, site: SiteView, filters: FilterSet) -> Interface:
    filter = select_filter(draft, site, filters, Findings())
    assert filter is not None, "an interface without a filter is an error, and nothing is built with errors"
    return Interface(
        mac=draft.entry.mac,
        filter=filter,
        ipv4=draft.ipv4,
        ipv6=draft.ipv6,
        parameters=compile_variables(draft, filter, site, filters),
        attach=Attach(draft.entry.attach or site.file.defaults.attach),
        segment=draft.entry.segment,
        bridge=bridge_of(draft, site),
        roles=roles_of(draft, site),
        surroundings=surroundings(draft, site),
        forms=forms_of(draft, site),
        origin=draft.node.origin,
    )
