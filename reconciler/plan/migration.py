"""Which guests must not be migrated now: what they may send is being changed, or is not what their next host has.

libvirt takes the target's filters by their names. With another guard of that name a migration succeeds, and the guest
silently has the target's addresses; so it is safe only between hosts that are both as the site says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set

from reconciler.model.drift import Drift, Layer
from reconciler.model.guest import Guest
from reconciler.model.live import Live
from reconciler.model.site import Desired
from reconciler.nwfilter.guard import interface_filterref
from reconciler.nwfilter.variables import Lookup, closure
from reconciler.nwfilter.wanted import wanted_filters


def unsafe_migrations(
    desired: Desired, live: Live, host: str, drift: Iterable[Drift], in_progress: Set[str]
) -> Mapping[str, str]:
    """Guests of a host that must stay or stay away, each with the reason; `in_progress` are targets of open runs.

    Of a guest its running definition counts. A difference of a filter counts here though the site tolerates it: it
    need not be the same on another host.
    """
    held = {f.definition.name: f.definition for f in live.filters}
    lookup: Lookup = (held | {definition.name: definition for definition in wanted_filters(desired, host)}).get
    differing = frozenset(each.object for each in drift if _matters(each))
    found: dict[str, str] = {}
    for guest in desired.guests_on(host):
        targets = tuple(_targets(guest, lookup))
        changing = next((each for each in targets if each in in_progress), None)
        other = next((each for each in targets if each in differing), None)
        if changing:
            found[guest.name] = f"{changing} is being changed by a run that has not ended"
        elif other:
            found[guest.name] = f"{other} is not as the site says"
    return found


def _matters(drift: Drift) -> bool:
    return drift.object.startswith("filter/") or (drift.counts and drift.layer is Layer.LIVE)


def _targets(guest: Guest, lookup: Lookup) -> Iterator[str]:
    """All that the guest's rules hang on, its guards first."""
    for interface in guest.interfaces:
        for name in closure(lookup, interface_filterref(guest.name, interface).filter):
            yield f"filter/{name}"
    yield f"guest/{guest.name}"
