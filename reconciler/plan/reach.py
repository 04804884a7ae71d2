"""Which filters and bindings a filter's change reaches on a host, and what still needs a filter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from reconciler.domain.match import match_nics
from reconciler.model.filter import NwFilter
from reconciler.model.guest import Interface
from reconciler.model.live import Binding, Domain, Live, Nic, SavedState
from reconciler.model.site import Desired
from reconciler.nwfilter.guard import interface_filterref
from reconciler.nwfilter.variables import closure


class Reach:
    """Filter closures of one inspection, each computed once."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._definitions = {f.definition.name: f.definition for f in live.filters}
        self._closures: dict[str, frozenset[str]] = {}
        self._bindings: dict[str, list[Binding]] | None = None

    def closure(self, name: str) -> frozenset[str]:
        """A filter and all that it refers to as libvirt has them now."""
        if name not in self._closures:
            self._closures[name] = frozenset(closure(self._definitions.get, name))
        return self._closures[name]

    def bindings(self, name: str) -> tuple[Binding, ...]:
        """Bindings that libvirt rebuilds when this filter changes."""
        if self._bindings is None:
            self._bindings = {}
            for binding in self._live.bindings:
                for reached in self.closure(binding.filterref.filter):
                    self._bindings.setdefault(reached, []).append(binding)
        return tuple(self._bindings.get(name, ()))

    def needed_by(
        self, name: str, desired: Desired, gone: frozenset[str], wanted: Mapping[str, NwFilter], stopped: Set[str]
    ) -> str | None:
        """Who still reaches a filter after the site is applied, `gone` filters left out; None when nobody does.

        Filters are then as they are `wanted`, and `stopped` guests have been shut down.
        """
        managed = {guest.name: guest.interfaces for guest in desired.guests}
        later = self._definitions | dict(wanted)
        for domain in self._live.domains:
            for state in domain.saved:
                if any(name in closure(later.get, root) for root in _saved_roots(state, domain.name, managed)):
                    return f"{state.name} of guest/{domain.name}"
            running = () if domain.name in stopped else domain.live
            for root in _roots(domain, running, managed.get(domain.name, ())):
                if name in closure(later.get, root):
                    return f"guest/{domain.name}"
        for referrer, definition in later.items():
            if name in definition.references and referrer not in gone:
                return f"filter/{referrer}"
        return None


def _roots(domain: Domain, running: tuple[Nic, ...], interfaces: tuple[Interface, ...]) -> Iterator[str]:
    """The filters that a guest's definitions refer to after the site is applied; only a restart changes a MAC."""
    wanted = {interface.mac: interface for interface in interfaces}
    renamed = {id(nic): mac for mac, nic in match_nics(wanted, domain.persistent).items()}
    for nic in (*domain.persistent, *running):
        interface = wanted.get(renamed.get(id(nic), nic.mac))
        if interface is not None:
            yield interface_filterref(domain.name, interface).filter
        elif nic.filterref is not None:
            yield nic.filterref.filter


def _saved_roots(state: SavedState, guest: str, managed: Mapping[str, tuple[Interface, ...]]) -> Iterator[str]:
    """The same of what would come back; only a managed-save image is rewritten."""
    wanted = {interface.mac: interface for interface in managed.get(guest, ())} if state.can_be_rewritten else {}
    for nic in state.nics:
        interface = wanted.get(nic.mac)
        if interface is not None:
            yield interface_filterref(guest, interface).filter
        elif nic.filterref is not None:
            yield nic.filterref.filter
