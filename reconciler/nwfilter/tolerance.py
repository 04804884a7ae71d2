"""What a host shall have where its site ignores differences: ignored fields stay as they are found there.

`diff` tells every difference from the site itself; what depends on an ignored one (the kernel's rules, a plan's
steps) is judged by what is tolerated, so that nothing is done for a difference that nobody wants undone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from reconciler.model.drift import Layer
from reconciler.model.filter import Entry, FilterRef, NwFilter, canonical_parameters
from reconciler.model.guest import Interface
from reconciler.model.ignore import Ignore, ignored_because
from reconciler.model.live import Binding, Live
from reconciler.nwfilter.guard import wanted_filterref
from reconciler.nwfilter.variables import Lookup

Ignores = Callable[[str], bool]
"""Whether a field of one object is ignored in one layer."""


class Tolerance:
    """The ignore rules of a site, asked field by field."""

    def __init__(self, rules: tuple[Ignore, ...]) -> None:
        self._rules = rules

    def ignores(self, object: str, field: str, layer: Layer) -> bool:
        return ignored_because(self._rules, object, field, layer) is not None

    def filters(self, wanted: Iterable[NwFilter], live: Live) -> tuple[NwFilter, ...]:
        """The wanted filters with their ignored fields as the host has them; without those whose lack is ignored."""
        found = {held.definition.name: held.definition for held in live.filters}
        kept = (self._filter(definition, found.get(definition.name)) for definition in wanted)
        return tuple(definition for definition in kept if definition is not None)

    def _filter(self, wanted: NwFilter, held: NwFilter | None) -> NwFilter | None:
        if not self._rules or wanted == held:
            return wanted
        ignores = self._of(f"filter/{wanted.name}", Layer.PERSISTENT)
        if held is None:
            return None if ignores("definition") else wanted
        return NwFilter(
            wanted.name,
            held.chain if ignores("chain") else wanted.chain,
            held.priority if ignores("priority") else wanted.priority,
            _entries(wanted.entries, held.entries, ignores),
        )

    def interface(
        self,
        guest: str,
        interface: Interface,
        layer: Layer,
        found: FilterRef | None,
        lookup: Lookup,
        within: str = "",
    ) -> FilterRef:
        """What an interface's filterref in one layer shall be; the wanted one where there is none.

        `within` begins the field's name: that of a saved state, and a dot.
        """
        wanted = wanted_filterref(guest, interface, found, lookup)
        return self._reference(guest, f"{within}{interface.mac}.filterref", layer, wanted, found)

    def leaves_unfiltered(self, guest: str, interface: Interface, layer: Layer, found: FilterRef | None) -> bool:
        """Whether an interface has no filter at all in a layer, and that is ignored: then it has no rules to judge."""
        return found is None and self.ignores(f"guest/{guest}", f"{interface.mac}.filterref", layer)

    def bound(self, guest: str, mac: str, wanted: FilterRef, binding: Binding | None) -> FilterRef:
        """What a port's binding shall be, given its interface's filterref; that one where there is no binding."""
        found = binding.filterref if binding else None
        return self._reference(guest, f"{mac}.binding", Layer.LIVE, wanted, found)

    def _reference(self, guest: str, field: str, layer: Layer, wanted: FilterRef, found: FilterRef | None) -> FilterRef:
        if not self._rules or found is None or wanted == found:
            return wanted
        ignores = self._of(f"guest/{guest}", layer)
        return _filterref(wanted, found, lambda part: ignores(f"{field}.{part}"))

    def _of(self, object: str, layer: Layer) -> Ignores:
        return lambda field: self.ignores(object, field, layer)


def _entries(wanted: tuple[Entry, ...], held: tuple[Entry, ...], ignores: Ignores) -> tuple[Entry, ...]:
    match wanted, held:
        case (FilterRef() as one,), (FilterRef() as other,):
            return (_filterref(one, other, ignores),)
        case _:
            fields = {field for entries in (wanted, held) for field in entry_fields(entries)}
            return held if all(map(ignores, fields)) else wanted


def entry_fields(entries: tuple[Entry, ...]) -> tuple[str, ...]:
    """The fields of a drift that a filter's entries make: a guard's are those of its only filterref."""
    match entries:
        case (FilterRef(),):
            return ("filter", "parameters")
        case _:
            return ("entries",)


def _filterref(wanted: FilterRef, found: FilterRef, ignores: Ignores) -> FilterRef:
    names = dict.fromkeys(name for reference in (wanted, found) for name, _ in reference.parameters)
    chosen = ((name, found if ignores(f"parameters.{name}") else wanted) for name in names)
    parameters = ((name, value) for name, reference in chosen for value in reference.values(name))
    return FilterRef(found.filter if ignores("filter") else wanted.filter, canonical_parameters(parameters))
