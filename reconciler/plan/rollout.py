"""Ways to bring changed shared filters to the guests that run, and the cheapest of those that are safe (promise P9).

libvirt rebuilds the rules of every binding that reaches a filter whenever that filter changes, one binding after
another. So k changed filters cost k rebuilds of each guest, one by one. With copies it is two, whatever k: the changed
filters are defined beside the old ones under names of their own, where nobody uses them; the roots, which guests'
guards refer to, are switched to the copies; the originals, which now nobody reaches, are redefined; and the roots are
switched back. At every moment each guest has one whole tree, the old or the new one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from reconciler.model.actions import VerifyPort
from reconciler.model.disruption import Disruption
from reconciler.model.filter import FilterRef, NwFilter
from reconciler.model.live import FilterFile, Live
from reconciler.model.plan import Costed, Step, Way
from reconciler.model.site import Policy, Rollout, Strategy
from reconciler.nwfilter.format import format_filter
from reconciler.nwfilter.guard import temporary_uuid
from reconciler.nwfilter.instances import CannotInstantiate, rule_instances
from reconciler.nwfilter.variables import closure
from reconciler.plan.rates import Rates
from reconciler.plan.simulated import Simulated, renamed

_DIFFERS = "its definition differs from the site"
_COPIED = "guests are first switched to temporary copies of all that changes"
_COPY = "guests change to all copies at once; they change back when the originals are as the copies"
_BACK = "the changed filters have their own names again"
_NAME_LENGTH = 40


@dataclass(frozen=True, slots=True)
class Candidate(Costed):
    """One way: its steps in order, or why it cannot be.

    `after` is what libvirt holds when they are done; `aliases` say which step stands for a filter's definition.
    """

    name: str
    steps: tuple[Step, ...] = ()
    after: Simulated | None = None
    impossible: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)


class Change:
    """Shared filters that change and that running guests reach, and what lies between them and the guests."""

    def __init__(self, wanted: Iterable[NwFilter], live: Live, rates: Rates) -> None:
        self.live = live
        self.rates = rates
        self.wanted = {definition.name: definition for definition in wanted}
        held = {f.definition.name: f.definition for f in live.filters}
        simulated = Simulated(live, rates)
        self.changed = frozenset(
            name
            for name, definition in self.wanted.items()
            if name in held and held[name] != definition and simulated.users(name)
        )
        self._reached = frozenset(
            name for root in {b.filterref.filter for b in live.bindings} for name in closure(held.get, root)
        )
        later = held | self.wanted
        self.between = frozenset(
            name
            for name in self.wanted
            if name in self._reached and not self.changed.isdisjoint(closure(later.get, name))
        )
        referred = {
            reference
            for name, definition in held.items()
            if name in self._reached and name not in self.between
            for reference in definition.references
        }
        bound = {binding.filterref.filter for binding in live.bindings}
        self.roots = frozenset(name for name in self.between if name in referred or name in bound)

    def new_references(self, names: Iterable[str]) -> tuple[str, ...]:
        """Steps that define what these filters refer to and libvirt does not have yet."""
        return tuple(
            f"filter:{reference}"
            for name in names
            for reference in self.wanted[name].references
            if self.live.filter(reference) is None
        )

    def nested_roots(self) -> frozenset[str]:
        """Roots that another root reaches: they are roots, and parts of a tree."""
        return frozenset(
            inner
            for inner in self.roots
            if any(inner != outer and inner in closure(self.wanted.get, outer) for outer in self.roots)
        )

    def inner_first(self, names: Iterable[str]) -> list[str]:
        """Filters before those that refer to them."""
        left = sorted(names)
        done: list[str] = []
        while left:
            ready = [n for n in left if not any(o != n and o in closure(self.wanted.get, n) for o in left)] or left[:1]
            done.extend(ready)
            left = [name for name in left if name not in ready]
        return done


def one_by_one(change: Change) -> Candidate:
    """Each changed filter by itself, those that others refer to first."""
    simulated = Simulated(change.live, change.rates)
    steps: list[Step] = []
    for name in change.inner_first(change.changed):
        after = [f"filter:{reference}" for reference in change.wanted[name].references]
        steps.append(simulated.define(f"filter:{name}", change.wanted[name], _DIFFERS, after))
    return Candidate("one-by-one", tuple(steps), simulated)


def by_copies(change: Change) -> Candidate:
    if len(change.changed) < 2:
        return Candidate("copies", impossible="only one filter changes")
    copied = (change.between - change.roots) | change.nested_roots()
    if not copied:
        return Candidate("copies", impossible="no changed filter is inside another one")
    copies = Copies(change, copied)
    steps = [*copies.define()]
    switched = [name for name in reversed(change.inner_first(change.roots)) if copies.redirects(name)]
    for name in switched:
        wanted = renamed(change.wanted[name], name, copies.names)
        steps.append(copies.simulated.define(f"switch:{name}", wanted, _COPY, _last(steps)))
    copies.define_originals(
        (*change.inner_first(change.between - change.roots), *change.inner_first(change.roots)), steps
    )
    steps.extend(copies.drop(_last(steps)))
    return Candidate("copies", tuple(steps), copies.simulated)


def by_canary(change: Change) -> Candidate:
    """Guard after guard gets copies of all that changes, each proven before the next; then all get the originals."""
    guards = [f.definition for f in change.live.filters if f.owned and _changes_below(change, f.definition)]
    if not change.changed or not guards:
        return Candidate("canary", impossible="no guard reaches a filter that changes")
    copies = Copies(change, change.between)
    steps = [*copies.define()]
    for guard in guards:
        tried = renamed(guard, guard.name, copies.names)
        steps.append(
            copies.simulated.define(f"canary:{guard.name}", tried, "it gets the changed filters first", _last(steps))
        )
        steps.extend(_proofs(change, guard.name, steps[-1].id))
    copies.define_originals(change.inner_first(change.between), steps)
    for guard in guards:
        steps.append(copies.simulated.define(f"back:{guard.name}", guard, _BACK, _last(steps)))
    steps.extend(copies.drop(_last(steps)))
    return Candidate("canary", tuple(steps), copies.simulated)


def _changes_below(change: Change, guard: NwFilter) -> bool:
    only = refers_only(guard)
    return only is not None and only.filter in change.between


def _proofs(change: Change, guard: str, after: str) -> Iterator[Step]:
    for binding in change.live.bindings:
        if binding.filterref.filter == guard:
            action = VerifyPort(binding.owner, binding.mac, binding.port, binding.filterref)
            yield Step(f"prove:{binding.port}", action, "the next guest waits for it", after=(after,))
            after = f"prove:{binding.port}"


def by_restart(change: Change) -> Candidate:
    """All files at once, then one restart of the daemon: every port of the host is rebuilt once."""
    if not change.changed:
        return Candidate("daemon-restart", impossible="no filter in use changes")
    if wrong := _would_not_start(change):
        return Candidate("daemon-restart", impossible=f"the daemon would not start: {wrong}")
    simulated = Simulated(change.live, change.rates)
    names = change.inner_first(change.changed)
    reason = "the daemon reads all files at once, and builds the rules of every port once"
    restart = simulated.restart(
        "restart", [change.wanted[name] for name in names], reason, change.new_references(names)
    )
    aliases = {f"filter:{name}": "restart" for name in names}
    return Candidate("daemon-restart", (restart,), simulated, aliases=aliases)


def _would_not_start(change: Change) -> str:
    """Why libvirt could not build the rules of some port when it starts; it then ends itself."""
    later = {f.definition.name: f.definition for f in change.live.filters} | change.wanted
    for binding in change.live.bindings:
        try:
            rule_instances(later.get, binding.filterref, binding.mac)
        except CannotInstantiate as error:
            return f"{error.message}, on port {binding.port}"
    names = dict.fromkeys(name for b in change.live.bindings for name in closure(later.get, b.filterref.filter))
    held = (change.live.filter(name) for name in names if name not in change.wanted)
    astray = next((f.definition.name for f in held if f and not f.owned and f.file is not FilterFile.SAME), "")
    return f"the file of {astray}, which the site does not have, is not what libvirt holds" if astray else ""


def ways(change: Change) -> tuple[Candidate, ...]:
    return one_by_one(change), by_copies(change), by_canary(change), by_restart(change)


def choose(found: tuple[Candidate, ...], policy: Policy, most: Disruption) -> tuple[Candidate, tuple[Way, ...]]:
    """The way that the policy asks for, else the one with the fewest rebuilds of those that it allows."""
    possible = [each for each in found if not each.impossible]
    asked = _asked(policy)
    chosen = next((each for each in possible if each.name == asked), None)
    if chosen is None:
        allowed = [each for each in possible if each.disruption <= most and each.name not in _ON_REQUEST] or possible[
            :1
        ]
        chosen = min(allowed, key=lambda each: (each.rebuilds, each.disruption, each.seconds))
    return chosen, tuple(_way(each, chosen, asked, most) for each in found)


_ON_REQUEST = ("canary", "daemon-restart")
"""A canary costs more, and proves each guest. A restart takes libvirt's API away, and touches all guests."""


def _asked(policy: Policy) -> str:
    if policy.strategy is Strategy.RESTART:
        return "daemon-restart"
    return "canary" if policy.rollout is Rollout.CANARY else ""


def _way(each: Candidate, chosen: Candidate, asked: str, most: Disruption) -> Way:
    if each.impossible:
        why = each.impossible
    elif each is chosen:
        why = "the policy asks for it" if each.name == asked else "the fewest rebuilds"
    elif chosen.name == asked:
        why = f"the policy asks for {asked}"
    elif each.disruption > most:
        why = f"the policy allows no {each.disruption}"
    elif each.name in _ON_REQUEST:
        why = "only where the policy asks for it"
    else:
        why = "more rebuilds" if each.rebuilds > chosen.rebuilds else "more disruption or time"
    cost = (each.rebuilds, each.seconds, each.disruption)
    return Way(each.name, *cost, each is chosen, why, possible=not each.impossible)


def _last(steps: list[Step]) -> tuple[str, ...]:
    return (steps[-1].id,) if steps else ()


class Copies:
    """Temporary copies of filters as they will be, which refer to each other; marked, so that orphans are known."""

    def __init__(self, change: Change, names: frozenset[str]) -> None:
        self._change = change
        self.simulated = Simulated(change.live, change.rates)
        self.names = {name: temporary_name(change.wanted[name], change.wanted) for name in sorted(names)}
        self._order = change.inner_first(names)

    def redirects(self, name: str) -> bool:
        """Whether a filter refers to one that is copied."""
        return any(reference in self.names for reference in self._change.wanted[name].references)

    def define(self) -> Iterator[Step]:
        previous: tuple[str, ...] = ()
        for name in self._order:
            copy = renamed(self._change.wanted[name], self.names[name], self.names)
            if self.simulated.held(copy.name) == copy:
                continue  # of a run that was interrupted
            id, after = f"copy:{name}", (*previous, *self._change.new_references([name]))
            yield self.simulated.define(id, copy, _COPIED, after, temporary_uuid(copy.name))
            previous = (id,)

    def define_originals(self, names: Iterable[str], steps: list[Step]) -> None:
        """Those that are not yet as they shall be, one after another."""
        for name in names:
            if self.simulated.held(name) != self._change.wanted[name]:
                after = (*_last(steps), *self._change.new_references([name]))
                reason = _DIFFERS if name in self._change.changed else _BACK
                steps.append(self.simulated.define(f"filter:{name}", self._change.wanted[name], reason, after))

    def drop(self, after: tuple[str, ...]) -> Iterator[Step]:
        """Not those that guests have of an interrupted run: they go at the very end, when nobody has them."""
        before = Simulated(self._change.live, self._change.rates)
        for name in (self.names[each] for each in reversed(self._order)):
            if not before.users(name):
                yield self.simulated.undefine(f"drop:{name}", name, "nobody uses it any more", after)
                after = (f"drop:{name}",)


def temporary_name(definition: NwFilter, wanted: Mapping[str, NwFilter]) -> str:
    """The same for the same tree, so that an interrupted roll-out finds its copies."""
    tree = "".join(format_filter(wanted[name]) for name in closure(wanted.get, definition.name) if name in wanted)
    return f"{definition.name[:_NAME_LENGTH]}.next-{hashlib.sha256(tree.encode()).hexdigest()[:8]}"


def original_name(copy: str) -> str:
    """What a copy is of; a long name comes back cut."""
    return copy.rpartition(".next-")[0]


def refers_only(definition: NwFilter) -> FilterRef | None:
    """The one reference of a guard."""
    match definition.entries:
        case (FilterRef() as only,):
            return only
        case _:
            return None
