"""Drafts to the model: what only shows when all files are seen together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from reconciler.errors import did_you_mean
from reconciler.load.draft import GuestDraft, InterfaceDraft
from reconciler.load.files import IgnoreEntry
from reconciler.load.filter_rules import check_rules_in_use
from reconciler.load.filters import FilterSet
from reconciler.load.findings import Findings, Invalid
from reconciler.load.ignores import check_ignores
from reconciler.load.instantiation import check_instances
from reconciler.load.policy_file import DAYS, FloodLimitEntry, PolicyEntry, WindowEntry
from reconciler.load.probes import build_probes, check_default_probes, check_probes
from reconciler.load.siteview import SiteView
from reconciler.load.sweep import Claim, report_overlaps
from reconciler.load.uses import Uses
from reconciler.load.values import lies_in_link_local
from reconciler.load.variables import (
    check_variables,
    compile_variables,
    forms_of,
    roles_of,
    select_filter,
    surroundings,
)
from reconciler.model.disruption import Disruption
from reconciler.model.drift import Layer
from reconciler.model.guest import Attach, Guest, Interface, Power, Role, guard_name
from reconciler.model.ignore import Ignore
from reconciler.model.site import Desired, OnTimeout, Policy, Rollout, Segment, Strategy, Window
from reconciler.model.supplement import FloodLimit


def check_all(site: SiteView | None, guests: Sequence[GuestDraft], filters: FilterSet, findings: Findings) -> None:
    """Report everything that is wrong between files; without a usable site.yaml, what does not depend on it."""
    _check_names(guests, findings)
    _check_macs(guests, findings)
    if site is not None:
        site.check(filters, findings)
        check_default_probes(site, findings)
        uses = Uses(site, filters)
        for guest in guests:
            _check_hosts(guest, site, findings)
            check_probes(guest, findings)
            for draft in guest.interfaces:
                _check_interface(draft, site, filters, uses, findings)
        check_rules_in_use(uses.of_marked_filters, filters, findings)
        check_instances(uses.of_each_shape, filters, findings)
        check_ignores(site, guests, filters, findings)
    claims = (
        claim
        for guest in guests
        for draft in guest.interfaces
        for claim in _claims(draft, site)
        if not findings.has_any_at(claim.origin)
    )
    report_overlaps(claims, findings)


def _check_names(guests: Iterable[GuestDraft], findings: Findings) -> None:
    first: dict[str, GuestDraft] = {}
    for guest in guests:
        known = first.setdefault(guest.file.name.casefold(), guest)
        if known is not guest:
            message = f"the guest {guest.file.name} is already defined in {known.node.at('name').origin}"
            findings.report("guest-name-twice", guest.node.at("name").origin, message)


def _check_macs(guests: Iterable[GuestDraft], findings: Findings) -> None:
    owners: dict[str, InterfaceDraft] = {}
    for guest in guests:
        guards: dict[str, InterfaceDraft] = {}
        for draft in guest.interfaces:
            mac, place = draft.entry.mac, draft.node.at("mac").origin
            owner = owners.setdefault(mac, draft)
            namesake = guards.setdefault(guard_name(guest.file.name, mac), draft)
            if owner is not draft:
                message = f"the MAC {mac} is also that of {owner.guest} ({owner.node.at('mac').origin})"
                findings.report("mac-twice", place, message)
            elif namesake is not draft:
                message = f"the MAC {mac} ends like {namesake.entry.mac} of the same guest"
                findings.report("guard-name-twice", place, message)


def _check_hosts(guest: GuestDraft, site: SiteView, findings: Findings) -> None:
    seen = set()
    for host, node in zip(guest.file.hosts or (), guest.node.at("hosts").items, strict=False):
        if host in seen:
            findings.report("item-twice", node.origin, f"the host {host} is already in this list")
        elif host not in site.file.hosts and not site.is_unclear("hosts", host):
            hint = did_you_mean(host, site.file.hosts)
            findings.report("unknown-host", node.origin, f"site.yaml has no host {host}", hint)
        seen.add(host)


def _check_interface(draft: InterfaceDraft, site: SiteView, filters: FilterSet, uses: Uses, findings: Findings) -> None:
    """Report its problems, and note its use of a filter for the rules that harm only some."""
    _check_segment(draft, site, findings)
    _check_foreign_gateways(draft, site, findings)
    if draft.entry.link_local and not draft.ipv6:
        place = draft.node.at("link_local").origin
        findings.report("link-local-without-ipv6", place, "link_local is set, but ipv6 is none")
    if draft.node.damaged:
        return
    filter = select_filter(draft, site, filters, findings)
    if filter and filter not in filters.unclear:
        check_variables(draft, filter, site, filters, findings)
        uses.note(draft, filter)


def _check_segment(draft: InterfaceDraft, site: SiteView, findings: Findings) -> None:
    name = draft.entry.segment
    if name is None:
        return
    if draft.entry.bridge is not None:
        message = f"segment {name} and bridge {draft.entry.bridge} are both set"
        findings.report("segment-and-bridge", draft.node.key_origin("bridge"), message)
    if name not in site.file.segments and not site.is_unclear("segments", name):
        hint = did_you_mean(name, site.file.segments)
        findings.report("unknown-segment", draft.node.at("segment").origin, f"there is no segment {name}", hint)
    territory = site.territories.get(name)
    if territory is None:
        return
    is_router = Role.ROUTER in roles_of(draft, site)
    for network, node in draft.addresses():
        try:
            territory.check(network, is_router=is_router)
        except Invalid as problem:
            findings.report_invalid(problem, node.origin)


def _check_foreign_gateways(draft: InterfaceDraft, site: SiteView, findings: Findings) -> None:
    """Gateways of other segments than the interface's own, of which it may have none."""
    if Role.ROUTER in roles_of(draft, site):
        return
    bridge = _bridge(draft, site)
    for network, node in draft.addresses():
        try:
            site.gateways.check(network, draft.entry.segment, bridge)
        except Invalid as problem:
            if not findings.has_any_at(node.origin):
                findings.report_invalid(problem, node.origin)


def _claims(draft: InterfaceDraft, site: SiteView | None) -> Iterator[Claim]:
    for network, node in draft.addresses():
        scope = ""
        if lies_in_link_local(network):
            scope = _bridge(draft, site) or "link"
        yield Claim(network, draft.guest, node.origin, scope)


def _bridge(draft: InterfaceDraft, site: SiteView | None) -> str | None:
    segment = site.file.segments.get(draft.entry.segment or "") if site else None
    return segment.bridge if segment else draft.entry.bridge


def build(site: SiteView, guests: Sequence[GuestDraft], filters: FilterSet, source: str) -> Desired:
    """The desired state of a site without errors."""
    return Desired(
        guests=tuple(_guest(guest, site, filters) for guest in sorted(guests, key=lambda g: g.file.name)),
        filters=tuple(filters.site[name] for name in sorted(filters.site)),
        segments=_segments(site),
        hosts=tuple(site.file.hosts),
        policy=_policy(site.file.policy),
        ignore=tuple(_ignore(entry) for entry in site.file.ignore),
        source=source,
    )


def _policy(entry: PolicyEntry) -> Policy:
    return Policy(
        Disruption.parse(entry.disruption),
        entry.prune,
        entry.forbid_widening,
        tuple(_window(each) for each in entry.windows),
        entry.shutdown.timeout,
        OnTimeout(entry.shutdown.on_timeout),
        entry.max_down,
        Rollout(entry.rollout),
        Strategy(entry.strategy),
        supplement=entry.supplement == "nftables",
        flood_limit=_flood_limit(entry.flood_limit),
    )


def _flood_limit(entry: FloodLimitEntry | None) -> FloodLimit | None:
    return FloodLimit(entry.rate, entry.burst or 2 * entry.rate) if entry else None


def _window(entry: WindowEntry) -> Window:
    days = frozenset(DAYS.index(day) for day in entry.days)
    return Window(days, entry.begin, entry.to, entry.tz, Disruption.parse(entry.allow))


def _ignore(entry: IgnoreEntry) -> Ignore:
    return Ignore(entry.object, entry.field, entry.reason, Layer(entry.layer) if entry.layer else None)


def _segments(site: SiteView) -> tuple[Segment, ...]:
    return tuple(
        Segment(name, entry.bridge, tuple(entry.ipv4), tuple(entry.ipv6), tuple(entry.gateways))
        for name, entry in site.file.segments.items()
    )


def _guest(guest: GuestDraft, site: SiteView, filters: FilterSet) -> Guest:
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
        bridge=_bridge(draft, site),
        roles=roles_of(draft, site),
        surroundings=surroundings(draft, site),
        forms=forms_of(draft, site),
        origin=draft.node.origin,
    )
