"""Guests as the checks across files see them, whether their file was read or is remembered without a fault."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from reconciler.load.compile_guest import bridge_of, compile_guest
from reconciler.load.draft import GuestDraft, InterfaceDraft, given_parameters
from reconciler.load.filters import FilterSet
from reconciler.load.siteview import SiteView
from reconciler.load.sweep import Claim
from reconciler.load.terms import Terms
from reconciler.load.values import bounds, lies_in_link_local
from reconciler.model.faultless import Faultless, Memory, Span, Traits
from reconciler.model.origin import Origin

Read = GuestDraft | Faultless


class Named(NamedTuple):
    """What no two guests may share, and where it was written."""

    name: str
    origin: Origin
    macs: tuple[tuple[str, Origin], ...]


def path_of(guest: Read) -> str:
    if isinstance(guest, GuestDraft):
        return guest.node.path
    assert guest.guest.origin is not None, "every guest of a file has one"
    return guest.guest.origin.path


def named(guest: Read) -> Named:
    if isinstance(guest, GuestDraft):
        macs = tuple((draft.entry.mac, draft.node.at("mac").origin) for draft in guest.interfaces)
        return Named(guest.file.name, guest.node.at("name").origin, macs)
    known, path = guest.guest, path_of(guest)
    pairs = zip(known.interfaces, guest.traits, strict=True)
    return Named(known.name, known.origin or Origin(path), tuple((n.mac, Origin(path, *t.mac)) for n, t in pairs))


def claims_of(guest: Read, site: SiteView | None) -> Iterator[Claim]:
    path = path_of(guest)
    if isinstance(guest, GuestDraft):
        name, spans = guest.file.name, [span for draft in guest.interfaces for span in _spans(draft, site)]
    else:
        name, spans = guest.guest.name, [span for traits in guest.traits for span in traits.spans]
    for version, scope, first, last, (line, column) in spans:
        yield Claim(version, scope, first, -last, path, line, column, name)


def _spans(draft: InterfaceDraft, site: SiteView | None) -> tuple[Span, ...]:
    found: list[Span] = []
    for network, node in draft.addresses():
        scope = (bridge_of(draft, site) or "link") if lies_in_link_local(network) else ""
        found.append((network.version, scope, *bounds(network), node.place))
    return tuple(found)


def recall(memory: Memory, files: Mapping[str, bytes], terms: Terms) -> Mapping[str, Faultless]:
    """Those that are remembered, and of which nothing else would be said today."""
    return {path: known for path, known in memory.recall(files).items() if terms.hold_for(known)}


def faultless(
    guests: Iterable[Read], site: SiteView, filters: FilterSet, terms: Terms, faulty: frozenset[str]
) -> list[Read]:
    """The guests, each draft compiled of which no problem was found."""
    return [
        _compiled(guest, site, filters, terms)
        if isinstance(guest, GuestDraft) and guest.node.path not in faulty
        else guest
        for guest in guests
    ]


def _compiled(guest: GuestDraft, site: SiteView, filters: FilterSet, terms: Terms) -> Read:
    """As it is, where an interface has no filter of which enough is known."""
    said = [terms.of(draft) for draft in guest.interfaces]
    if None in said:
        return guest
    traits = tuple(_traits(draft, each, site) for draft, each in zip(guest.interfaces, said, strict=True) if each)
    return Faultless(compile_guest(guest, site, filters), traits)


def _traits(draft: InterfaceDraft, terms: str, site: SiteView) -> Traits:
    node = draft.node
    places = node.at("mac").place, node.at("filter").place
    return Traits(*places, draft.entry.filter, given_parameters(draft), _spans(draft, site), terms)
