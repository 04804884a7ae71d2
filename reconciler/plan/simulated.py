"""libvirt's filters and bindings while a plan is made: what each definition would rebuild (virNWFilterBuildAll)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from reconciler.model.actions import DefineFilter, RestartDaemon, UndefineFilter
from reconciler.model.disruption import Disruption
from reconciler.model.filter import FilterRef, NwFilter
from reconciler.model.live import Live
from reconciler.model.plan import Step
from reconciler.nwfilter.format import format_filter
from reconciler.nwfilter.guard import mark_uuid
from reconciler.plan.rates import Rates


class Simulated:
    """The definitions as they are after the steps that were made so far; each step takes the state on."""

    def __init__(self, live: Live, rates: Rates) -> None:
        self._rates = rates
        self._bindings = Counter(binding.filterref.filter for binding in live.bindings)
        self._held: dict[str, NwFilter] = {}
        self._referrers: dict[str, set[str]] = {}
        for held in live.filters:
            self._hold(held.definition)
        self._texts: dict[str, str] = {f.definition.name: f.xml for f in live.filters}
        self._uuids: dict[str, str] = {f.definition.name: f.uuid for f in live.filters}

    def held(self, name: str) -> NwFilter | None:
        return self._held.get(name)

    def users(self, name: str) -> int:
        """How many bindings libvirt rebuilds when this filter changes."""
        found, waiting = {name}, [name]
        while waiting:
            more = self._referrers.get(waiting.pop(), set()) - found
            found |= more
            waiting.extend(more)
        return sum(self._bindings[root] for root in found)

    def _hold(self, definition: NwFilter | None, name: str = "") -> None:
        """Put a definition in the place of the one of its name, or take that away."""
        name = definition.name if definition else name
        before = self._held.pop(name, None)
        for reference in before.references if before else ():
            self._referrers[reference].discard(name)
        if definition is not None:
            self._held[name] = definition
            for reference in definition.references:
                self._referrers.setdefault(reference, set()).add(name)

    def define(self, id: str, wanted: NwFilter, reason: str, after: Iterable[str] = (), uuid: str = "") -> Step:
        """Define a filter, new under our mark (or `uuid`), or in place of what is held then."""
        held = self._held.get(wanted.name)
        rebuilds = 0 if held is None or held == wanted else self.users(wanted.name)
        marked = self._uuids.setdefault(wanted.name, uuid or mark_uuid(wanted.name))
        action = DefineFilter(wanted.name, format_filter(wanted, marked), self._texts.get(wanted.name))
        self._hold(wanted)
        self._texts[wanted.name] = action.xml
        disruption = Disruption.REBUILD if rebuilds else Disruption.NONE
        seconds = self._rates.write + rebuilds * self._rates.rebuild
        return Step(id, action, reason, disruption, rebuilds, seconds, tuple(after))

    def restart(self, id: str, wanted: Iterable[NwFilter], reason: str, after: Iterable[str]) -> Step:
        """Other files for filters that libvirt holds; it has them when it is started anew."""
        files, previous = [], []
        for definition in wanted:
            previous.append((definition.name, self._texts[definition.name]))
            self._hold(definition)
            self._texts[definition.name] = format_filter(definition, self._uuids[definition.name])
            files.append((definition.name, self._texts[definition.name]))
        action = RestartDaemon(tuple(files), tuple(previous))
        bindings = sum(self._bindings.values())
        seconds = self._rates.restart + bindings * self._rates.rebuild
        return Step(id, action, reason, Disruption.DAEMON_RESTART, bindings, seconds, tuple(after))

    def undefine(self, id: str, name: str, reason: str, after: Iterable[str] = ()) -> Step:
        action = UndefineFilter(name, self._texts.pop(name))
        self._hold(None, name)
        return Step(id, action, reason, seconds=self._rates.write, after=tuple(after))


def renamed(definition: NwFilter, name: str, names: Mapping[str, str]) -> NwFilter:
    """A filter under another name, whose references follow `names`."""
    entries = tuple(
        FilterRef(names.get(entry.filter, entry.filter), entry.parameters) if isinstance(entry, FilterRef) else entry
        for entry in definition.entries
    )
    return NwFilter(name, definition.chain, definition.priority, entries)
