"""A host in memory, for tests of plans and of their execution: libvirt's behaviour where it matters, with faults.

What it models (measured on libvirt 9.0): defining a bound filter rebuilds every binding that reaches it; a
binding whose filters or variables are missing cannot be built, and then blocks every changed definition;
changing a running interface's filterref takes its rules away first; values of variables are compared as sets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from reconciler.domain.parse import parse_domain, parse_nics
from reconciler.domain.rewrite import set_bridge, set_filterref
from reconciler.errors import HostError
from reconciler.model.filter import FilterRef, NwFilter
from reconciler.model.kernel import Family, ForeignRule, KernelChain, KernelRules, Ruleset
from reconciler.model.live import MANAGED_SAVE, Binding, Domain, Live, LiveFilter, Nic, SavedState
from reconciler.model.probe import Probe
from reconciler.nwfilter.ebtables import parse_ebtables
from reconciler.nwfilter.expand import Expected, expand
from reconciler.nwfilter.guard import mark_uuid, temporary_uuid
from reconciler.nwfilter.instances import CannotInstantiate
from reconciler.nwfilter.parse import parse_filter
from reconciler.nwfilter.variables import closure


@dataclass(slots=True)
class MemoryHost:
    """`fault` is asked before every write with its name and target; it raises to make the write fail."""

    filters: dict[str, LiveFilter] = field(default_factory=dict)
    domains: dict[str, Domain] = field(default_factory=dict)
    bindings: dict[str, Binding] = field(default_factory=dict)
    installed: dict[str, Expected] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    deaf: set[str] = field(default_factory=set)
    """Guests that do not obey a shutdown."""
    staged: dict[str, str] = field(default_factory=dict)
    foreign: set[tuple[str, str]] = field(default_factory=set)
    """Rules of others, before all jumps: a hook's name, and the text of a rule in it."""
    writes: list[tuple[str, str]] = field(default_factory=list)
    rebuilds: dict[str, int] = field(default_factory=dict)
    silent: Callable[[MemoryHost, Probe], bool] | None = None
    """Whether a probe gets no answer; all do without it."""
    packaged: tuple[NwFilter, ...] = ()
    fault: Callable[[str, str], None] | None = None
    on_change: Callable[[MemoryHost], None] | None = None

    def inspect(self, filters: Iterable[str] = ()) -> Live:
        return Live(
            tuple(self.domains[name] for name in sorted(self.domains)),
            tuple(self.filters[name] for name in sorted(self.filters)),
            tuple(self.bindings[port] for port in sorted(self.bindings)),
            self.rules(),
            self.gated(),
            self.devices(),
        )

    def find_filter(self, name: str) -> LiveFilter | None:
        return self.filters.get(name)

    def find_domain(self, name: str) -> Domain | None:
        return self.domains.get(name)

    def find_binding(self, port: str) -> Binding | None:
        return self.bindings.get(port)

    def packaged_filters(self) -> tuple[NwFilter, ...]:
        return self.packaged

    def rules(self, packets: bool = False) -> KernelRules:
        """What every port's binding was expanded to when it was built last."""
        chains: dict[str, KernelChain] = {}
        for port in sorted(self.installed):
            for chain in self.installed[port].ethernet.chains:
                held = chains.get(chain.name)
                chains[chain.name] = replace(chain, rules=(*held.rules, *chain.rules)) if held else chain
        for hook, text in sorted(self.foreign):
            (rule,) = parse_ebtables(f"*nat\n{text}").chains[0].rules
            held = chains.get(hook, KernelChain(hook, "ACCEPT"))
            chains[hook] = replace(held, rules=(rule, *held.rules))
        return KernelRules(Ruleset(tuple(chains.values())))

    def gated(self) -> frozenset[str]:
        return frozenset(self.closed)

    def define_filter(self, xml: str) -> None:
        definition = parse_filter(xml)
        name = definition.name
        self._write("define_filter", name)
        held = self.filters.get(name)
        if held is not None and held.uuid != definition.uuid:
            raise HostError(f"filter '{name}' already exists with uuid {held.uuid}")
        uuid = definition.uuid or mark_uuid(name)
        temporary = uuid == temporary_uuid(name)
        self.filters[name] = LiveFilter(definition, uuid, definition.uuid == mark_uuid(name), xml, temporary=temporary)
        if held is None or held.definition == definition:
            return
        try:
            built = {port: self._build(binding) for port, binding in self.bindings.items()}
        except HostError:
            self.filters[name] = held
            raise
        for port, binding in self.bindings.items():
            if name in self._closure(binding.filterref.filter):
                self._install(port, built[port])

    def undefine_filter(self, name: str) -> None:
        self._write("undefine_filter", name)
        user = next((b for b in self.bindings.values() if name in self._closure(b.filterref.filter)), None)
        if user is not None:
            raise HostError(f"nwfilter is in use by {user.port}")
        self.filters.pop(name, None)

    def define_domain(self, xml: str) -> None:
        parsed = parse_domain(xml)
        self._write("define_domain", parsed.name)
        held = self.domains.get(parsed.name)
        domain = held or Domain(parsed.name, parsed.uuid, active=False)
        self.domains[parsed.name] = replace(domain, persistent=parsed.nics, persistent_xml=xml)

    def set_autostart(self, guest: str, autostart: bool) -> None:
        self._write("set_autostart", guest)
        self.domains[guest] = replace(self.domains[guest], autostart=autostart)

    def start_domain(self, guest: str) -> None:
        self._write("start_domain", guest)
        domain = self.domains[guest]
        taken = {nic.port for other in self.domains.values() for nic in other.live}
        free = (f"vnet{number}" for number in range(10_000) if f"vnet{number}" not in taken)
        image = domain.managed_save
        stored, xml = (image.nics, image.xml) if image else (domain.persistent, domain.persistent_xml)
        nics = tuple(replace(nic, port=next(free)) for nic in stored)
        for nic in nics:
            self._bind(guest, nic)
        saved = tuple(state for state in domain.saved if state is not image)
        self.domains[guest] = replace(domain, active=True, live=nics, live_xml=xml, saved=saved)

    def shut_down_domain(self, guest: str, seconds: float) -> bool:
        """Guests in `deaf` ignore it."""
        self._write("shut_down_domain", guest)
        if guest in self.deaf:
            return False
        self._stop(guest)
        return True

    def write_filter_files(self, files: Iterable[tuple[str, str]]) -> None:
        for name, text in files:
            self._write("write_filter_files", name)
            self.staged[name] = text

    def restart_daemon(self) -> None:
        """All staged files come into force, and every port is built once; one that cannot be stops the daemon."""
        self._write("restart_daemon", "host")
        before = dict(self.filters)
        for name, text in self.staged.items():
            definition = parse_filter(text)
            self.filters[name] = replace(before[name], definition=definition, xml=text)
        try:
            built = {port: self._build(binding) for port, binding in self.bindings.items()}
        except HostError:
            self.filters = before
            raise
        self.staged.clear()
        for port, rules in built.items():
            self._install(port, rules)

    def destroy_domain(self, guest: str) -> None:
        self._write("destroy_domain", guest)
        self._stop(guest)

    def _stop(self, guest: str) -> None:
        domain = self.domains[guest]
        for nic in domain.live:
            self.bindings.pop(str(nic.port), None)
            self.installed.pop(str(nic.port), None)
        self.domains[guest] = replace(domain, active=False, live=(), live_xml="")
        self._changed()

    def devices(self) -> frozenset[str]:
        ports = (nic.port for domain in self.domains.values() for nic in domain.live if nic.port)
        return frozenset(("lo", *ports))

    def answering(self, probes: Iterable[Probe], most_seconds: float) -> frozenset[Probe]:
        return frozenset(probe for probe in probes if self.silent is None or not self.silent(self, probe))

    def define_managed_save(self, guest: str, xml: str) -> None:
        self._write("define_managed_save", guest)
        domain = self.domains[guest]
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
        self._write("set_live_filterref", guest)
        domain = self.domains[guest]
        nic = next(nic for nic in domain.live if nic.mac == mac)
        if _same_to_libvirt(nic.filterref, filterref):
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
        self._write("rebuild_binding", port)
        nic = next((nic for nic in self.domains[owner].live if nic.port == port), None)
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

    def _write(self, call: str, target: str) -> None:
        self.writes.append((call, target))
        if self.fault is not None:
            self.fault(call, target)

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
        missing = [name for name in self._closure(binding.filterref.filter) if name not in self.filters]
        if missing:
            raise HostError(f"referenced filter '{missing[0]}' is missing")
        try:
            return expand(self._definition, binding.filterref, binding.mac, binding.port)
        except CannotInstantiate as error:
            raise HostError(error.message) from error

    def _definition(self, name: str) -> NwFilter | None:
        held = self.filters.get(name)
        return held.definition if held else None

    def _closure(self, name: str) -> tuple[str, ...]:
        return closure(self._definition, name)


def _same_to_libvirt(one: FilterRef | None, other: FilterRef | None) -> bool:
    if one is None or other is None:
        return one is other
    names = {name for name, _ in (*one.parameters, *other.parameters)}
    same_values = all(
        set(one.values(name)) == set(other.values(name)) and len(one.values(name)) == len(other.values(name))
        for name in names
    )
    return one.filter == other.filter and same_values
