"""Which filters and bindings a filter's change reaches on a host, and what still needs a filter."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.model.filter import NwFilter
from reconciler.model.guest import Interface
from reconciler.model.live import Binding, Live
from reconciler.model.site import Desired
from reconciler.nwfilter.guard import interface_filterref
from reconciler.nwfilter.variables import closure


class Reach:
    """Filter closures of one inspection, each computed once."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._definitions = {f.definition.name: f.definition for f in live.filters}
        self._closures: dict[str, frozenset[str]] = {}

    def closure(self, name: str) -> frozenset[str]:
        """A filter and all that it refers to as libvirt has them now."""
        if name not in self._closures:
            self._closures[name] = frozenset(closure(self._definitions.get, name))
        return self._closures[name]

    def bindings(self, name: str) -> tuple[Binding, ...]:
        """Bindings that libvirt rebuilds when this filter changes."""
        return tuple(b for b in self._live.bindings if name in self.closure(b.filterref.filter))

    def needed_by(
        self, name: str, desired: Desired, gone: frozenset[str], wanted: Mapping[str, NwFilter]
    ) -> str | None:
        """Who still reaches a filter after the site is applied, `gone` filters left out; None when nobody does.

        Filters are then as they are `wanted`.
        """
        managed = {guest.name: guest.interfaces for guest in desired.guests}
        later = self._definitions | dict(wanted)
        for domain in self._live.domains:
            for state in domain.saved:
                if any(nic.filterref and name in closure(later.get, nic.filterref.filter) for nic in state.nics):
                    return f"{state.name} of guest/{domain.name}"
            for nic in (*domain.persistent, *domain.live):
                current = nic.filterref.filter if nic.filterref else None
                root = _wanted_reference(domain.name, nic.mac, managed.get(domain.name, ())) or current
                if root and name in closure(later.get, root):
                    return f"guest/{domain.name}"
        for referrer, definition in later.items():
            if name in definition.references and referrer not in gone:
                return f"filter/{referrer}"
        return None


def _wanted_reference(guest: str, mac: str, interfaces: tuple[Interface, ...]) -> str | None:
    interface = next((i for i in interfaces if i.mac == mac), None)
    return interface_filterref(guest, interface).filter if interface else None
