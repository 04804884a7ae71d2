"""What two owners claim: then it is not known which is right, and neither is adopted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from reconciler.adopt.entry import Entry, Inexpressible, Network
from reconciler.load.values import bounds, lies_in_link_local
from reconciler.model.guest import Guest, Interface, guard_name

_ONE_OWNER = "leave it to one of them, and adopt the other again"


@dataclass(frozen=True, slots=True)
class _Owner:
    """An interface of the site, or one that shall come into it: only such a one has an entry."""

    guest: str
    mac: str
    bridge: str | None
    networks: tuple[Network, ...]
    entry: Entry | None = None

    def __str__(self) -> str:
        return f"guest/{self.guest}/{self.mac}"


def conflicts(entries: Iterable[Entry], site: Iterable[Guest]) -> dict[Entry, Inexpressible]:
    """Entries that share a name, a MAC or an address with another one, or with a guest that the site has."""
    known = (_of_site(guest, interface) for guest in site for interface in guest.interfaces)
    owners = (*known, *map(_of_host, entries))
    found: dict[Entry, Inexpressible] = {}
    for one, why in (*_namesakes(owners), *_twins(owners), *_overlaps(owners)):
        if one.entry is not None:
            found.setdefault(one.entry, why)
    return found


def _of_site(guest: Guest, interface: Interface) -> _Owner:
    return _Owner(guest.name, interface.mac, interface.bridge, (*interface.ipv4, *interface.ipv6))


def _of_host(entry: Entry) -> _Owner:
    return _Owner(entry.guest, entry.mac, entry.bridge, (*entry.given.ipv4, *entry.given.ipv6), entry)


_Blamed = Iterator[tuple[_Owner, Inexpressible]]


def _namesakes(owners: Iterable[_Owner]) -> _Blamed:
    for group in _groups(owners, lambda owner: owner.guest.casefold()):
        for owner in group:
            other = next((each.guest for each in group if each.guest != owner.guest), None)
            if other:
                hint = "rename one of them: their guards and files could not be told apart"
                yield owner, Inexpressible(f"its guest's name differs from that of {other} only in case", hint)


def _twins(owners: tuple[_Owner, ...]) -> _Blamed:
    for group in _groups(owners, lambda owner: owner.mac):
        for owner, other in _each_with_another(group):
            yield owner, Inexpressible(f"its MAC is also that of {other}", "give one of them another MAC")
    for group in _groups(owners, lambda owner: guard_name(owner.guest, owner.mac)):
        for owner, other in _each_with_another(group):
            reason = f"its MAC ends like {other.mac} of the same guest, so their guards would have one name"
            yield owner, Inexpressible(reason, "give one of them another MAC")


def _groups(owners: Iterable[_Owner], key: Callable[[_Owner], str]) -> Iterator[list[_Owner]]:
    """Owners with one key, where there are several."""
    for _, group in groupby(sorted(owners, key=key), key=key):
        members = list(group)
        if len(members) > 1:
            yield members


def _each_with_another(group: list[_Owner]) -> Iterator[tuple[_Owner, _Owner]]:
    return ((owner, group[1] if owner is group[0] else group[0]) for owner in group)


@dataclass(frozen=True, slots=True)
class _Claim:
    owner: _Owner
    network: Network
    first: int
    last: int
    space: tuple[int, str]


def _overlaps(owners: Iterable[_Owner]) -> _Blamed:
    claims = [_claim(owner, network) for owner in owners for network in owner.networks]
    claims.sort(key=lambda claim: (claim.space, claim.first, -claim.last))
    for group in _touching(claims):
        for claim in group if len(group) > 1 else ():
            other = next(each for each in group if each is not claim and _meet(each, claim))
            yield claim.owner, _shared(claim, other)


def _claim(owner: _Owner, network: Network) -> _Claim:
    """Link-local addresses may repeat on another bridge."""
    is_local = lies_in_link_local(network)
    return _Claim(owner, network, *bounds(network), (network.version, (owner.bridge or "link") if is_local else ""))


def _touching(claims: Iterable[_Claim]) -> Iterator[list[_Claim]]:
    """Claims in order of addresses, cut where nothing reaches across; each of a group meets another one of it."""
    group: list[_Claim] = []
    reach = -1
    for claim in claims:
        if group and (group[0].space != claim.space or claim.first > reach):
            yield group
            group, reach = [], -1
        group.append(claim)
        reach = max(reach, claim.last)
    yield group


def _meet(one: _Claim, other: _Claim) -> bool:
    return one.first <= other.last and other.first <= one.last


def _shared(claim: _Claim, other: _Claim) -> Inexpressible:
    if other.owner is claim.owner:
        return Inexpressible(
            f"its filterref gives it {_plain(claim)} twice", "once is enough, and all that can be said"
        )
    owned = (
        f"which {other.owner} has too" if other.network == claim.network else f"and {other.owner} has {_plain(other)}"
    )
    return Inexpressible(f"its filterref gives it {_plain(claim)}, {owned}", _ONE_OWNER)


def _plain(claim: _Claim) -> str:
    network = claim.network
    return str(network.network_address if network.prefixlen == network.max_prefixlen else network)
