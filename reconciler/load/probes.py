"""Probes of guests: what a site may have asked, and of whom. Only an own address of the guest is ever asked."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.load.draft import GuestDraft
from reconciler.load.files import ProbeEntry
from reconciler.load.findings import Findings
from reconciler.load.node import Node
from reconciler.load.siteview import SiteView
from reconciler.load.values import LINK_LOCAL, IPAddress, IPNetwork, ProbeTarget
from reconciler.model.probe import Probe, ProbeKind

_ONE_EACH = "a probe asks for one thing: ping, tcp or agent"


def check_default_probes(site: SiteView, findings: Findings) -> None:
    """Those of site.yaml, which are for every guest: so they can name no guest's address."""
    for entry, node in _entries(site.file.defaults.health, site.node.at("defaults", "health")):
        if not _is_one(entry) and not node.damaged:
            findings.report("probe-invalid", node.origin, _ONE_EACH)
        for field, target in _targets(entry):
            if target.address is not None:
                message = f"{target.address} is one guest's, and this probe is for every guest"
                findings.report("probe-foreign-address", node.at(field).origin, message)


def check_probes(guest: GuestDraft, findings: Findings) -> None:
    if not guest.file.health:
        return
    own = _networks(guest)
    for entry, node in _entries(guest.file.health, guest.node.at("health")):
        if not _is_one(entry) and not node.damaged:
            findings.report("probe-invalid", node.origin, _ONE_EACH)
        for field, target in _targets(entry):
            place = node.at(field).origin
            if target.address is None and not _own_addresses(guest):
                findings.report("probe-foreign-address", place, f"{guest.file.name} has no single address to ask")
            elif target.address is not None and not any(target.address in network for network in own):
                findings.report("probe-foreign-address", place, f"{target.address} is not {guest.file.name}'s")


def build_probes(guest: GuestDraft, site: SiteView) -> tuple[Probe, ...]:
    """The guest's own, else the site's; `own` becomes each single address that it has."""
    entries = site.file.defaults.health if guest.file.health is None else guest.file.health
    if not entries:
        return ()
    name, addresses = guest.file.name, _own_addresses(guest)
    found: list[Probe] = []
    for entry in entries:
        if entry.agent:
            found.append(Probe(name, ProbeKind.AGENT, within=entry.within))
        for field, target in _targets(entry):
            asked = addresses if target.address is None else (target.address,)
            found.extend(Probe(name, ProbeKind(field), each, target.port, within=entry.within) for each in asked)
    return tuple(dict.fromkeys(found))


def _entries(entries: list[ProbeEntry] | None, node: Node) -> Iterator[tuple[ProbeEntry, Node]]:
    return zip(entries or (), node.items, strict=False)


def _is_one(entry: ProbeEntry) -> bool:
    return sum(asked is not None for asked in (entry.ping, entry.tcp, entry.agent)) == 1


def _targets(entry: ProbeEntry) -> Iterator[tuple[str, ProbeTarget]]:
    for field, target in (("ping", entry.ping), ("tcp", entry.tcp)):
        if target is not None:
            yield field, target


def _own_addresses(guest: GuestDraft) -> tuple[IPAddress, ...]:
    """Single ones, without those that are good on one link only."""
    return tuple(
        network.network_address
        for network in _networks(guest)
        if network.num_addresses == 1 and network.network_address not in LINK_LOCAL
    )


def _networks(guest: GuestDraft) -> tuple[IPNetwork, ...]:
    return tuple(network for draft in guest.interfaces for network, _ in draft.addresses())
