"""Variables of rules, and what a filter with all that it refers to needs from outside.

Source: libvirt's nwfilter_gentech_driver.c, virNWFilterDetermineMissingVarsRec and virNWFilterCreateVarsFrom:
parameters of an outer filterref win over those of an inner one, an inner one's are seen by its own tree only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from reconciler.model.filter import FilterRef, NwFilter, Rule

Lookup = Callable[[str], NwFilter | None]
"""The filter of a name, None if nobody defines it."""

AUTOMATIC = frozenset({"MAC"})
"""Variables that libvirt sets itself on every binding."""

_REFERENCE = re.compile(r"\$([A-Za-z0-9_]*)(?:\[(@?)([0-9]+)\])?")


@dataclass(frozen=True, slots=True, order=True)
class Variable:
    """A variable as a rule uses it: `$A` and `$A[@1]` walk its values with iterator 0 and 1, `$A[2]` is its third."""

    name: str
    element: int | None = None
    iterator: int = 0


class ReferenceLoop(ValueError):
    """Filters that refer to each other in a circle; libvirt refuses the last one of them."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(f"filters refer to each other in a circle: {' → '.join(names)}")
        self.names = names


def parse_variable(value: str) -> Variable | None:
    """The variable in a canonical attribute value, None if the value is literal."""
    match = _REFERENCE.fullmatch(value)
    if match is None:
        return None
    if match[3] is None:
        return Variable(match[1])
    if match[2]:
        return Variable(match[1], iterator=int(match[3]))
    return Variable(match[1], element=int(match[3]))


def rule_variables(rule: Rule) -> tuple[Variable, ...]:
    """Variables of a rule in the order of its attributes, each once."""
    values = (value for match in rule.matches for _, value in match.attributes)
    found = (parse_variable(value) for value in values if value.startswith("$"))
    return tuple(dict.fromkeys(variable for variable in found if variable))


def filter_variables(filter: NwFilter) -> frozenset[str]:
    """Names of the variables in the filter's own rules."""
    rules = (entry for entry in filter.entries if isinstance(entry, Rule))
    return frozenset(variable.name for rule in rules for variable in rule_variables(rule))


def closure(lookup: Lookup, name: str) -> tuple[str, ...]:
    """Names of all filters that a filter reaches, itself first, depth first; also those that nobody defines."""
    return tuple(_reach(lookup, name, {}))


def _reach(lookup: Lookup, name: str, reached: dict[str, None]) -> dict[str, None]:
    if name in reached:
        return reached
    reached[name] = None
    filter = lookup(name)
    for reference in filter.references if filter else ():
        _reach(lookup, reference, reached)
    return reached


def find_loop(lookup: Lookup, name: str) -> tuple[str, ...] | None:
    """The first circle of references that a filter reaches, as names from one filter back to itself."""
    return _find_loop(lookup, name, (), set())


def _find_loop(lookup: Lookup, name: str, path: tuple[str, ...], clean: set[str]) -> tuple[str, ...] | None:
    if name in path:
        return (*path[path.index(name) :], name)
    if name in clean:
        return None
    filter = lookup(name)
    for reference in filter.references if filter else ():
        if loop := _find_loop(lookup, reference, (*path, name), clean):
            return loop
    clean.add(name)
    return None


def required_variables(lookup: Lookup, name: str) -> frozenset[str]:
    """Names of the variables that a binding of a filter must bring, MAC not counted.

    Filters that nobody defines need nothing. ReferenceLoop if the filter reaches a circle.
    """
    if loop := find_loop(lookup, name):
        raise ReferenceLoop(loop)
    return frozenset(_missing(lookup, name, {}, {})) - AUTOMATIC


_Given = Mapping[str, int]
"""How many values each variable has."""
_Seen = dict[tuple[str, frozenset[tuple[str, int]]], frozenset[str]]


def _missing(lookup: Lookup, name: str, given: _Given, seen: _Seen) -> frozenset[str]:
    key = (name, frozenset(given.items()))
    if key not in seen:
        filter = lookup(name)
        entries = filter.entries if filter else ()
        seen[key] = frozenset(missing for entry in entries for missing in _missing_in(lookup, entry, given, seen))
    return seen[key]


def _missing_in(lookup: Lookup, entry: Rule | FilterRef, given: _Given, seen: _Seen) -> Iterator[str]:
    if isinstance(entry, FilterRef):
        inner = {**Counter(name for name, _ in entry.parameters), **given}
        yield from _missing(lookup, entry.filter, inner, seen)
        return
    for variable in rule_variables(entry):
        if given.get(variable.name, 0) <= (variable.element or 0):
            yield variable.name
