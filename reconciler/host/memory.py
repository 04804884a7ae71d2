"""A host in memory, for tests of plans and of their execution: libvirt's behaviour where it matters, with faults.

What it models (measured on libvirt 9.0; tests/lab/test_host_contract.py holds both to it): defining a bound filter
rebuilds every binding that reaches it, one port after another; a binding whose filters or variables are missing cannot
be built, and then blocks every changed definition; a definition that cannot be saved is in force all the same, and its
filter is gone from libvirt's list; changing a running interface's filterref takes its rules away first, and puts them
back where the new ones cannot be built; values of variables are compared as sets; a daemon with files that it cannot
use does not start; after a call that hangs nothing is answered any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from reconciler.domain.parse import parse_domain, parse_nics
from reconciler.domain.rewrite import set_bridge, set_filterref
from reconciler.errors import HostError, HostUnreachable
from reconciler.host.memory_connection import MemoryConnection
from reconciler.host.memory_parts import build, file_state, filter_of, kernel_rules, require_tree, same_to_libvirt
from reconciler.model.filter import FilterRef, NwFilter
from reconciler.model.kernel import Family, ForeignRule, KernelRules
from reconciler.model.live import MANAGED_SAVE, Binding, Domain, Live, LiveFilter, Nic, SavedState
from reconciler.model.probe import Probe
from reconciler.model.supplement import Supplement
from reconciler.nwfilter.expand import Expected
from reconciler.nwfilter.variables import closure


@dataclass(slots=True)
class MemoryHost(MemoryConnection):
    """A host; `on_change` is told of every instant."""

    filters: dict[str, LiveFilter] = field(default_factory=dict)
    domains: dict[str, Domain] = field(default_factory=dict)
    bindings: dict[str, Binding] = field(default_factory=dict)
    installed: dict[str, Expected] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    deaf: set[str] = field(default_factory=set)
    """Guests that do not obey a shutdown."""
    staged: dict[str, str | None] = field(default_factory=dict)
    """Files of filters that are not what libvirt wrote: it reads them at its next start. None for one that is gone."""
    unsaved: set[str] = field(default_factory=set)
    """Filters whose file cannot be written."""
    foreign: set[tuple[str, str]] = field(default_factory=set)
    """Rules of others, before all jumps: a hook's name, and the text of a rule in it."""
    beside: Supplement | None = None
    """What our own table has beside the gate."""
    rebuilds: dict[str, int] = field(default_factory=dict)
    silent: Callable[[MemoryHost, Probe], bool] | None = None
    """Whether a probe gets no answer; all do without it."""
    packaged: tuple[NwFilter, ...] = ()
    on_change: Callable[[MemoryHost], None] | None = None

    def inspect(self, filters: Iterable[str] = ()) -> Live:
        self._answer()
        return Live(
            tuple(self.domains[name] for name in sorted(self.domains)),
            tuple(self._with_file(self.filters[name]) for name in sorted(self.filters)),
            tuple(self.bindings[port] for port in sorted(self.bindings)),
            replace(self.rules(), supplement=self.beside),
            self.gated(),
            self.devices(),
        )

    def find_filter(self, name: str) -> LiveFilter | None:
        self._answer()
        held = self.filters.get(name)
        return self._with_file(held) if held else None

    def find_domain(self, name: str) -> Domain | None:
        self._answer()
        return self.domains.get(name)

    def find_binding(self, port: str) -> Binding | None:
        self._answer()
        return self.bindings.get(port)

    def packaged_filters(self) -> tuple[NwFilter, ...]:
        return self.packaged

    def rules(self, packets: bool = False) -> KernelRules:
        self._find_daemon()
        return kernel_rules(self.installed, self.foreign)

    def supplement(self) -> Supplement | None:
        return self.beside

    def set_supplement(self, wanted: Supplement | None, *, keep_rules: bool = False) -> None:
        self._write("set_supplement", "host")
        kept = keep_rules and wanted and self.beside
        self.beside = replace(self.beside, elements=wanted.elements) if kept and wanted and self.beside else wanted
        self._changed()

    def gated(self) -> frozenset[str]:
        return frozenset(self.closed)

    def define_filter(self, xml: str) -> None:
        new = filter_of(xml)
        name = new.definition.name
        self._call("define_filter", name)
        held = self.filters.get(name)
        owner = next((f.definition.name for f in self.filters.values() if f.uuid == new.uuid), name)
        if owner != name or (held is not None and held.uuid != new.definition.uuid):
            raise HostError(f"filter '{owner}' already exists with uuid {self.filters[owner].uuid}")
        require_tree(new.definition, self._definition)
        self.filters[name] = new
        if held is not None and held.definition != new.definition:
            try:
                self._rebuild_all(name)
            except HostError:
                self.filters[name] = held
                raise
        self._save(name)

    def _rebuild_all(self, name: str) -> None:
        """libvirt builds the new rules of all ports before the first of them gets its own."""
        built = {port: self._build(binding) for port, binding in self.bindings.items()}
        for port, binding in self.bindings.items():
            if name in self._closure(binding.filterref.filter):
                self._install(port, built[port])

    def _save(self, name: str) -> None:
        if name in self.unsaved:
            del self.filters[name]
            raise HostError(f"the file of filter '{name}' cannot be written")
        self.staged.pop(name, None)

    def undefine_filter(self, name: str) -> None:
        self._call("undefine_filter", name)
        if name not in self.filters:
            return
        user = next((b for b in self.bindings.values() if name in self._closure(b.filterref.filter)), None)
        if user is not None:
            raise HostError(f"nwfilter is in use by {user.port}")
        for binding in self.bindings.values():
            self._build(binding)
        if name in self.staged and self.staged[name] is None:
            raise HostError(f"cannot remove the file of filter '{name}'")
        del self.filters[name]
        self.staged.pop(name, None)

    def define_domain(self, xml: str) -> None:
        parsed = parse_domain(xml)
        self._call("define_domain", parsed.name)
        held = self.domains.get(parsed.name)
        if held is not None and held.uuid != parsed.uuid:
            raise HostError(f"domain '{parsed.name}' already exists with uuid {held.uuid}")
        domain = held or Domain(parsed.name, parsed.uuid, active=False)
        self.domains[parsed.name] = replace(domain, persistent=parsed.nics, persistent_xml=xml)

    def set_autostart(self, guest: str, autostart: bool) -> None:
        self._call("set_autostart", guest)
        self.domains[guest] = replace(self._domain(guest), autostart=autostart)

    def start_domain(self, guest: str) -> None:
        self._call("start_domain", guest)
        domain = self._domain(guest)
        if domain.active:
            raise HostError(f"guest {guest} is already running")
        taken = {nic.port for other in self.domains.values() for nic in other.live}
        free = (f"vnet{number}" for number in range(10_000) if f"vnet{number}" not in taken)
        image = domain.managed_save
        stored, xml = (image.nics, image.xml) if image else (domain.persistent, domain.persistent_xml)
        nics = tuple(replace(nic, port=next(free)) for nic in stored)
        try:
            for nic in nics:
                self._bind(guest, nic)
        except HostError:
            self._drop(nics)
            raise
        saved = tuple(state for state in domain.saved if state is not image)
        self.domains[guest] = replace(domain, active=True, live=nics, live_xml=xml, saved=saved)

    def shut_down_domain(self, guest: str, seconds: float) -> bool:
        """Guests in `deaf` ignore it."""
        self._call("shut_down_domain", guest)
        if self._domain(guest).active:
            if guest in self.deaf:
                return False
            self._stop(guest)
        return True

    def write_filter_files(self, files: Iterable[tuple[str, str]]) -> None:
        for name, text in files:
            self._write("write_filter_files", name)
            self.staged[name] = text

    def restart_daemon(self) -> None:
        """All files come into force, and every port is built once; one that cannot be keeps the daemon down."""
        self._write("restart_daemon", "host")
        self.hanging, before = "", self.filters
        self.filters = self._read_files()
        try:
            built = {port: self._build(binding) for port, binding in self.bindings.items()}
        except HostError as error:
            self.filters, self.is_down = before, True
            raise HostUnreachable(f"libvirt's daemon does not start: {error.message}") from error
        self.is_down = False
        self.staged.clear()
        for port, rules in built.items():
            self._install(port, rules)

    def _read_files(self) -> dict[str, LiveFilter]:
        """A file that is no filter is left out."""
        found = {name: held for name, held in self.filters.items() if name not in self.staged}
        for name, text in self.staged.items():
            with suppress(HostError):
                if text is not None:
                    found[name] = filter_of(text)
        return found

    def destroy_domain(self, guest: str) -> None:
        self._call("destroy_domain", guest)
        if not self._domain(guest).active:
            raise HostError(f"guest {guest} is not running")
        self._stop(guest)

    def _stop(self, guest: str) -> None:
        domain = self.domains[guest]
        self._drop(domain.live)
        self.domains[guest] = replace(domain, active=False, live=(), live_xml="")
        self._changed()

    def _drop(self, nics: Iterable[Nic]) -> None:
        for nic in nics:
            self.bindings.pop(str(nic.port), None)
            self.installed.pop(str(nic.port), None)

    def devices(self) -> frozenset[str]:
        ports = (nic.port for domain in self.domains.values() for nic in domain.live if nic.port)
        return frozenset(("lo", *ports))

    def answering(self, probes: Iterable[Probe], most_seconds: float) -> frozenset[Probe]:
        return frozenset(probe for probe in probes if self.silent is None or not self.silent(self, probe))

    def define_managed_save(self, guest: str, xml: str) -> None:
        self._call("define_managed_save", guest)
        domain = self._domain(guest)
        if domain.managed_save is None:
            raise HostError(f"guest {guest} has no managed-save image")
        others = tuple(state for state in domain.saved if state.name != MANAGED_SAVE)
        image = SavedState(MANAGED_SAVE, parse_nics(xml), xml)
        self.domains[guest] = replace(domain, saved=(image, *others))

    def remove_rules(self, rules: Iterable[ForeignRule]) -> None:
        for rule in rules:
            self._write("remove_rules", rule.text)
            self.foreign.discard((rule.chain, rule.text))
            self._changed()

    def raise_links(self, families: Iterable[Family]) -> None:
        self._write("raise_links", ",".join(families))

    def sweep_port(self, port: str) -> None:
        self._write("sweep_port", port)
        self.installed.pop(port, None)
        self._changed()

    def set_live_filterref(self, guest: str, mac: str, filterref: FilterRef | None, bridge: str | None = None) -> None:
        self._call("set_live_filterref", guest)
        domain = self._domain(guest)
        nic = next((nic for nic in domain.live if nic.mac == mac), None)
        if nic is None:
            raise HostError(f"guest {guest} runs no interface {mac}")
        if same_to_libvirt(nic.filterref, filterref):
            self._move(guest, mac, bridge)
            return
        assert nic.port is not None
        self._unbind(nic.port)
        changed = replace(nic, filterref=filterref)
        try:
            self._bind(guest, changed)
        except HostError:
            self._bind(guest, nic)
            raise
        live = tuple(changed if each.mac == mac else each for each in domain.live)
        xml = set_filterref(domain.live_xml, mac, filterref)
        self.domains[guest] = replace(domain, live=live, live_xml=xml)
        self._move(guest, mac, bridge)

    def _move(self, guest: str, mac: str, bridge: str | None) -> None:
        if bridge is not None:
            domain = self.domains[guest]
            live = tuple(replace(nic, source=bridge) if nic.mac == mac else nic for nic in domain.live)
            self.domains[guest] = replace(domain, live=live, live_xml=set_bridge(domain.live_xml, mac, bridge))

    def rebuild_binding(self, port: str, owner: str, filterref: FilterRef) -> None:
        self._call("rebuild_binding", port)
        domain = self.domains.get(owner)
        nic = next((nic for nic in domain.live if nic.port == port), None) if domain else None
        if nic is None:
            raise HostError(f"the guest {owner} has no port {port} any more; its rules were not touched")
        self._unbind(port)
        self._bind(owner, replace(nic, filterref=filterref))

    def close_gate(self, port: str) -> None:
        self._write("close_gate", port)
        self.closed.add(port)
        self._changed()

    def open_gate(self, port: str) -> None:
        self._write("open_gate", port)
        self.closed.discard(port)
        self._changed()

    def _domain(self, guest: str) -> Domain:
        if guest not in self.domains:
            raise HostError(f"the guest {guest} is not defined on this host any more")
        return self.domains[guest]

    def _with_file(self, held: LiveFilter) -> LiveFilter:
        return replace(held, file=file_state(held, self.staged))

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change(self)

    def _bind(self, owner: str, nic: Nic) -> None:
        if nic.filterref is None or nic.port is None:
            return
        binding = Binding(nic.port, owner, nic.mac, nic.filterref)
        rules = self._build(binding)
        self.bindings[nic.port] = binding
        self._install(nic.port, rules)

    def _unbind(self, port: str) -> None:
        self.bindings.pop(port, None)
        self.installed.pop(port, None)
        self._changed()

    def _install(self, port: str, rules: Expected) -> None:
        self.installed[port] = rules
        self.rebuilds[port] = self.rebuilds.get(port, 0) + 1
        self._changed()

    def _build(self, binding: Binding) -> Expected:
        return build(binding, self._definition)

    def _definition(self, name: str) -> NwFilter | None:
        held = self.filters.get(name)
        return held.definition if held else None

    def _closure(self, name: str) -> tuple[str, ...]:
        return closure(self._definition, name)
