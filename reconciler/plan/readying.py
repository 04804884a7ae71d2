"""Ports that could not be built when a shared filter changes, since it asks for a variable that they have not yet.

libvirt refuses such a change whole. So the port's own variables change first: to what the site wants, where the filters
of now can do with that; else to what the port has and what it will need besides, of which the filters of now ask
nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from reconciler.model.actions import DefineFilter, VerifyPort
from reconciler.model.filter import FilterRef, NwFilter, Parameters, canonical_parameters
from reconciler.model.guest import Attach, Interface, guard_name
from reconciler.model.live import Binding, FilterFile, Live, LiveFilter
from reconciler.model.plan import Step
from reconciler.model.site import Desired
from reconciler.nwfilter.guard import guard_filter, interface_filterref, unguarded_filterref
from reconciler.nwfilter.instances import CannotInstantiate, combinations, rule_instances
from reconciler.nwfilter.subjects import running_nic
from reconciler.plan.rates import Rates
from reconciler.plan.rollout import refers_only
from reconciler.plan.simulated import Simulated

_FIRST = "the shared filters change, and will ask for variables that it has not yet"
_WIDENS = "ready:"
Filters = Mapping[str, NwFilter]


@dataclass(frozen=True, slots=True)
class Unready:
    """A port: why a changed filter could not build it as it is, and steps of which any that is planned mends that."""

    lack: str
    mended_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Readied:
    """Definitions of guards that go before all other filters, and what libvirt holds then.

    `changes` are definitions of shared filters, for which `ports` have to be ready; `last` those of guards that the
    filters of now could not do with.
    """

    live: Live
    steps: tuple[Step, ...] = ()
    ports: Mapping[str, Unready] = field(default_factory=dict)
    last: frozenset[str] = frozenset()
    changes: frozenset[str] = frozenset()

    def unready(self, steps: Iterable[Step]) -> dict[str, str]:
        """Ports that none of these steps makes ready, and what each lacks."""
        planned = {step.id for step in steps}
        return {port: each.lack for port, each in self.ports.items() if planned.isdisjoint(each.mended_by)}


def readied(desired: Desired, live: Live, host: str, wanted: Filters, rates: Rates) -> Readied:
    held = {f.definition.name: f.definition for f in live.filters}
    shared = {definition.name for definition in desired.filters}
    changed = {name: wanted[name] for name in shared & wanted.keys() if name in held and held[name] != wanted[name]}
    if not changed:
        return Readied(live)
    return _Readying(desired, live, host, wanted, Simulated(live, rates), held, changed).done()


class _Readying:
    def __init__(
        self,
        desired: Desired,
        live: Live,
        host: str,
        wanted: Filters,
        simulated: Simulated,
        held: Filters,
        changed: Filters,
    ) -> None:
        self._live = live
        self._wanted = wanted
        self._simulated = simulated
        self._held = {**wanted, **held}
        self._later = self._held | dict(changed)
        self._interfaces = {(g.name, i.mac): i for g in desired.guests_on(host) for i in g.interfaces}
        self._now, self._then = _Builds(self._held), _Builds(self._later)
        self._changes = frozenset(f"filter:{name}" for name in changed)
        self._steps: list[Step] = []
        self._readied: dict[str, LiveFilter] = {}
        self._switched: dict[str, FilterRef] = {}
        self._ports: dict[str, Unready] = {}

    def done(self) -> Readied:
        for binding in self._live.bindings:
            if self._now.lack(binding.filterref) == "" and (lack := self._then.lack(binding.filterref)):
                self._ports[binding.port] = Unready(lack, (*self._made_ready(binding), f"stop:{binding.owner}"))
        filters = tuple(self._readied.get(f.definition.name, f) for f in self._live.filters)
        bindings = tuple(replace(b, filterref=self._switched.get(b.port, b.filterref)) for b in self._live.bindings)
        live = replace(self._live, filters=filters, bindings=bindings)
        return Readied(live, tuple(self._steps), self._ports, self._last(), self._changes)

    def _last(self) -> frozenset[str]:
        """Guards that lose a variable which the filters of now still ask for."""
        guards = {guard_name(*key): FilterRef(guard_name(*key)) for key in self._interfaces}
        changing = (self._wanted[name] for name in guards.keys() & self._wanted.keys())
        lacking = (d for d in changing if self._live.filter(d.name) is not None and self._now.lack(guards[d.name], d))
        return frozenset(f"filter:{definition.name}" for definition in lacking)

    def _made_ready(self, binding: Binding) -> tuple[str, ...]:
        """Ids of the steps that do it, without what stops its guest."""
        key = (binding.owner, binding.mac)
        interface = self._interfaces.get(key)
        nic = running_nic(binding.owner, binding.mac, self._live)
        if interface is None or nic is None or nic.port != binding.port:
            return ()
        guard = self._wanted.get(guard_name(*key))
        if guard is not None and interface.attach is Attach.GUARD and binding.filterref.filter == guard.name:
            return self._by_guard(binding, guard)
        return self._by_port(binding, interface)

    def _by_guard(self, binding: Binding, guard: NwFilter) -> tuple[str, ...]:
        for id, form in ((f"filter:{guard.name}", guard), (f"{_WIDENS}{guard.name}", self._widened(guard))):
            if form is not None and self._builds_throughout(binding.filterref, form):
                step = self._simulated.define(id, form, _FIRST)
                self._steps.append(step)
                held = self._live.filter(guard.name)
                if held is not None and isinstance(step.action, DefineFilter):
                    changed = replace(held, definition=form, xml=step.action.xml, file=FilterFile.SAME)
                    self._readied[guard.name] = changed
                return (id,)
        return ()

    def _builds_throughout(self, reference: FilterRef, guard: NwFilter) -> bool:
        return not any(filters.lack(reference, guard) for filters in (self._now, self._then))

    def _widened(self, guard: NwFilter) -> NwFilter | None:
        """The guard of now with those variables of the wanted one that it has not."""
        old, new = refers_only(self._held[guard.name]), refers_only(guard)
        if old is None or new is None:
            return None
        has = {name for name, _ in old.parameters}
        more: Parameters = tuple(pair for pair in new.parameters if pair[0] not in has)
        return replace(guard, entries=(FilterRef(old.filter, canonical_parameters((*old.parameters, *more))),))

    def _by_port(self, binding: Binding, interface: Interface) -> tuple[str, ...]:
        """Of a port with variables of its own, or that changes from such ones to a guard or back."""
        reference = interface_filterref(binding.owner, interface)
        if not self._builds_throughout(reference, guard_filter(binding.owner, interface)):
            return ()
        self._switched[binding.port] = unguarded_filterref(interface)
        return (f"live:{binding.owner}:{binding.mac}",)


class _Builds:
    """Whether libvirt can build a reference's rules with certain filters: it hangs on names and numbers of values."""

    def __init__(self, filters: Filters) -> None:
        self._filters = filters
        self._known: dict[tuple[str, frozenset[tuple[str, int]]], str] = {}

    def lack(self, reference: FilterRef, guard: NwFilter | None = None) -> str:
        """Why it cannot, empty where it can; with one guard as it is given."""
        held = guard if guard and guard.name == reference.filter else self._filters.get(reference.filter)
        inner = refers_only(held) if held else None
        if inner is not None:  # a guard is like any other of the same filter with as many values
            own = {name for name, _ in reference.parameters}
            given = (*reference.parameters, *(pair for pair in inner.parameters if pair[0] not in own))
            reference = FilterRef(inner.filter, given)
        key = (reference.filter, frozenset(Counter(name for name, _ in reference.parameters).items()))
        if key not in self._known:
            self._known[key] = self._try(reference)
        return self._known[key]

    def _try(self, reference: FilterRef) -> str:
        try:
            for instance in rule_instances(self._filters.get, reference, "52:54:00:00:00:01"):
                for _ in combinations(instance):
                    break
        except CannotInstantiate as error:
            return error.message
        return ""


def following(steps: tuple[Step, ...], ready: Readied, rollout: frozenset[str]) -> Iterator[Step]:
    """All steps, those that make ports ready before every change of a shared filter, and not after any."""
    planned = {step.id for step in steps}
    before = sorted(planned & {id for port in ready.ports.values() for id in port.mended_by})
    changes = rollout | ready.changes
    for step in _without_gone_ports(steps, before):
        if step.id in before:
            yield replace(step, after=tuple(id for id in step.after if id not in changes))
        elif step.id in changes:
            yield replace(step, after=(*step.after, *before))
        elif step.id in ready.last:
            yield replace(step, after=(*step.after, *sorted(changes)))
        else:
            yield step


def _without_gone_ports(steps: tuple[Step, ...], before: Container[str]) -> tuple[Step, ...]:
    """A canary cannot be proven on the port of a guest that has been stopped; who followed it follows what it did."""
    gone = {s.id: s.after for s in steps if isinstance(s.action, VerifyPort) and f"stop:{s.action.guest}" in before}

    def left(ids: Iterable[str]) -> Iterator[str]:
        for id in ids:
            yield from left(gone[id]) if id in gone else (id,)

    return tuple(replace(step, after=tuple(left(step.after))) for step in steps if step.id not in gone)


def widenings(ready: Readied) -> frozenset[str]:
    """Steps that are of no use without the change that they are for."""
    return frozenset(step.id for step in ready.steps if step.id.startswith(_WIDENS))
