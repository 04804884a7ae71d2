"""Drafts to the model: what only shows when all files are seen together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reconciler.errors import did_you_mean
from reconciler.load.compile_guest import bridge_of, compile_guest
from reconciler.load.draft import GuestDraft, InterfaceDraft
from reconciler.load.files import IgnoreEntry
from reconciler.load.filter_rules import check_rules_in_use
from reconciler.load.filters import FilterSet
from reconciler.load.findings import Findings, Invalid
from reconciler.load.ignores import check_ignores
from reconciler.load.instantiation import check_instances
from reconciler.load.known import Named, Read, claims_of, named, path_of
from reconciler.load.policy_file import DAYS, FloodLimitEntry, PolicyEntry, WindowEntry
from reconciler.load.probes import check_default_probes, check_probes
from reconciler.load.repeated import report_repeated
from reconciler.load.siteview import SiteView
from reconciler.load.sweep import report_overlaps
from reconciler.load.uses import Uses
from reconciler.load.variables import check_variables, roles_of, select_filter
from reconciler.model.disruption import Disruption
from reconciler.model.drift import Layer
from reconciler.model.faultless import Faultless
from reconciler.model.guest import Role, guard_name
from reconciler.model.ignore import Ignore
from reconciler.model.origin import Origin
from reconciler.model.site import Desired, OnTimeout, Policy, Rollout, Segment, Strategy, Window
from reconciler.model.supplement import FloodLimit


def check_identities(guests: Iterable[Read], findings: Findings) -> None:
    """Report the names and MACs that two guests have."""
    everybody = [named(guest) for guest in guests]
    _check_names(everybody, findings)
    _check_macs(everybody, findings)


def check_all(site: SiteView | None, guests: Sequence[Read], filters: FilterSet, findings: Findings) -> None:
    """Report what else is wrong between files; without a usable site.yaml, what does not depend on it."""
    if site is not None:
        site.check(filters, findings)
        check_default_probes(site, findings)
        uses = Uses(site, filters)
        for guest in guests:
            if isinstance(guest, Faultless):
                uses.note_known(guest, path_of(guest))
            else:
                _check_guest(guest, site, filters, uses, findings)
        check_rules_in_use(uses.of_marked_filters, filters, findings)
        check_instances(uses.of_each_shape, filters, findings)
        check_ignores(site, guests, filters, findings)
    faulty = findings.paths()
    claims = (claim for guest in guests for claim in claims_of(guest, site))
    report_overlaps(
        (each for each in claims if each.path not in faulty or not findings.has_any_at(each.origin)), findings
    )


def _check_names(guests: Iterable[Named], findings: Findings) -> None:
    first: dict[str, Named] = {}
    for guest in guests:
        known = first.setdefault(guest.name.casefold(), guest)
        if known is not guest:
            message = f"the guest {guest.name} is already defined in {known.origin}"
            findings.report("guest-name-twice", guest.origin, message)


def _check_macs(guests: Iterable[Named], findings: Findings) -> None:
    owners: dict[str, tuple[str, Origin]] = {}
    for guest in guests:
        guards: dict[str, str] = {}
        for mac, place in guest.macs:
            own = (guest.name, place)
            owner, first = known = owners.setdefault(mac, own)
            namesake = guards.setdefault(guard_name(guest.name, mac), mac)
            if known is not own:
                findings.report("mac-twice", place, f"the MAC {mac} is also that of {owner} ({first})")
            elif namesake != mac:
                message = f"the MAC {mac} ends like {namesake} of the same guest"
                findings.report("guard-name-twice", place, message)


def _check_guest(guest: GuestDraft, site: SiteView, filters: FilterSet, uses: Uses, findings: Findings) -> None:
    _check_hosts(guest, site, findings)
    check_probes(guest, findings)
    for draft in guest.interfaces:
        _check_interface(draft, site, filters, uses, findings)


def _check_hosts(guest: GuestDraft, site: SiteView, findings: Findings) -> None:
    hosts, place = guest.file.hosts or (), guest.node.at("hosts")
    report_repeated(hosts, place, "host", findings)
    for host, node in zip(hosts, place.items, strict=False):
        if host not in site.file.hosts and not site.is_unclear("hosts", host) and not findings.has_any_at(node.origin):
            hint = did_you_mean(host, site.file.hosts)
            findings.report("unknown-host", node.origin, f"site.yaml has no host {host}", hint)


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
    bridge = bridge_of(draft, site)
    for network, node in draft.addresses():
        try:
            site.gateways.check(network, draft.entry.segment, bridge)
        except Invalid as problem:
            if not findings.has_any_at(node.origin):
                findings.report_invalid(problem, node.origin)


def build(site: SiteView, guests: Iterable[Read], filters: FilterSet, source: str) -> Desired:
    """The desired state of a site without errors."""
    compiled = (each.guest if isinstance(each, Faultless) else compile_guest(each, site, filters) for each in guests)
    return Desired(
        guests=tuple(sorted(compiled, key=lambda guest: guest.name)),
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
