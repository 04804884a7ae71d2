"""The rules of a filter with all that it refers to, and the variables that each of them sees.

Sources: libvirt 9.0, nwfilter_gentech_driver.c (virNWFilterDefToInst), nwfilter_params.c (virNWFilterVarCombIter).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from reconciler.errors import ReconcilerError
from reconciler.model.filter import FilterRef, NwFilter, Parameters, Rule
from reconciler.model.kernel import RuleSource
from reconciler.nwfilter.protocols import ETHERNET_PROTOCOLS, PROTOCOLS
from reconciler.nwfilter.variables import Lookup, Variable, find_loop, parse_variable

Variables = Mapping[str, tuple[str, ...]]
_MOST_KEPT = 16_384


class CannotInstantiate(ReconcilerError):
    """libvirt would refuse to build a port's rules, or they cannot be foretold; the message says why."""


@dataclass(frozen=True, slots=True)
class Instance:
    """A rule in its chain with the variables of its place in the tree of filters."""

    rule: Rule
    chain: str
    chain_priority: int
    variables: Variables
    source: RuleSource

    @property
    def protocol(self) -> str:
        """The rule's protocol element; `mac`, which then matches everything, when it has none."""
        return self.rule.matches[0].protocol if self.rule.matches else "mac"

    @property
    def is_ethernet(self) -> bool:
        return self.protocol in ETHERNET_PROTOCOLS


def rule_instances(lookup: Lookup, reference: FilterRef, mac: str) -> tuple[Instance, ...]:
    """All rules behind a filterref, in the order in which libvirt makes rules of ebtables and iptables of them.

    Those of the root chain come first, each part by priority, equal ones in the order of the files.
    Raises CannotInstantiate for filters that nobody defines, circles and variables without value.
    """
    found = written_instances(lookup, reference, mac)
    return tuple(sorted(found, key=lambda instance: (instance.chain != "root", instance.rule.priority)))


def written_instances(lookup: Lookup, reference: FilterRef, mac: str) -> tuple[Instance, ...]:
    """As `rule_instances`, in the order of the files."""
    if loop := find_loop(lookup, reference.filter):
        raise CannotInstantiate(f"filters refer to each other in a circle: {' → '.join(loop)}")
    variables = {"MAC": (mac,), **_grouped(reference.parameters)}
    return tuple(_instances(lookup, reference.filter, variables))


def _instances(lookup: Lookup, name: str, variables: Variables) -> Iterator[Instance]:
    definition = lookup(name)
    if definition is None:
        raise CannotInstantiate(f"nobody defines the filter '{name}'")
    number = 0
    for entry in definition.entries:
        if isinstance(entry, FilterRef):
            yield from _instances(lookup, entry.filter, {**_grouped(entry.parameters), **variables})
        else:
            number += 1
            yield _instance(definition, entry, number, variables)


def _instance(definition: NwFilter, rule: Rule, number: int, variables: Variables) -> Instance:
    path = definition.origin.path if definition.origin else ""
    source = RuleSource(definition.name, number, path)
    for variable in _accesses(rule):
        if len(variables.get(variable.name, ())) <= (variable.element or 0):
            raise CannotInstantiate(f"{source}: the variable ${variable.name} has no value")
    return Instance(rule, definition.chain, definition.priority, variables, source)


def _grouped(parameters: Parameters) -> dict[str, tuple[str, ...]]:
    grouped: dict[str, tuple[str, ...]] = {}
    for name, value in parameters:
        grouped[name] = (*grouped.get(name, ()), value)
    return grouped


@dataclass(frozen=True, slots=True)
class Value:
    """An attribute of a rule with its variable filled in."""

    text: str
    negated: bool
    variable: bool


class Attributes:
    """The attributes of a rule for one combination of its variables' values."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = values

    def get(self, name: str) -> Value | None:
        return self._values.get(name)

    def literal(self, name: str) -> str | None:
        """The text of an attribute that is not a variable."""
        value = self._values.get(name)
        return None if value is None or value.variable else value.text


def combinations(instance: Instance) -> Iterator[Attributes]:
    """The attributes of a rule once for every combination of values that libvirt makes a rule of."""
    written = _written(instance.rule)
    for chosen in _choices(instance):
        yield Attributes({name: _filled(text, negated, chosen) for name, text, negated in written})


def _filled(text: str, negated: bool, chosen: Mapping[Variable, str]) -> Value:
    variable = parse_variable(text) if text.startswith("$") else None
    return Value(chosen[variable] if variable else text, negated, variable is not None)


@lru_cache(maxsize=_MOST_KEPT)
def _written(rule: Rule) -> tuple[tuple[str, str, bool], ...]:
    """Attributes in the order of libvirt's tables, in which it meets their variables."""
    if not rule.matches:
        return ()
    values = {name: (text, match.negated) for match in rule.matches for name, text in match.attributes}
    return tuple((name, *values[name]) for name in PROTOCOLS[rule.matches[0].protocol] if name in values)


@lru_cache(maxsize=_MOST_KEPT)
def _accesses(rule: Rule) -> tuple[Variable, ...]:
    found = (parse_variable(text) for name, text, _ in _written(rule) if text.startswith("$"))
    return tuple(dict.fromkeys(variable for variable in found if variable))


def _choices(instance: Instance) -> Iterator[dict[Variable, str]]:
    """Values for all variables of a rule: one iterator's walk in parallel, the first iterator turns fastest."""
    accesses = _accesses(instance.rule)
    groups: dict[int, list[Variable]] = {0: []}
    for variable in accesses:
        if variable.element is None:
            groups.setdefault(variable.iterator, []).append(variable)
    fixed = {v: instance.variables[v.name][v.element] for v in accesses if v.element is not None}
    walks = [_walk(instance, group) for group in groups.values() if group]
    for chosen in _product(walks):
        yield {**fixed, **chosen}


def _walk(instance: Instance, group: list[Variable]) -> list[dict[Variable, str]]:
    columns = [instance.variables[variable.name] for variable in group]
    if len({len(column) for column in columns}) > 1:
        lengths = ", ".join(f"${v.name} has {len(column)}" for v, column in zip(group, columns, strict=True))
        raise CannotInstantiate(f"{instance.source}: lists that are walked in parallel differ in length: {lengths}")
    rows = dict.fromkeys(zip(*columns, strict=True))
    return [dict(zip(group, row, strict=True)) for row in rows]


def _product(walks: list[list[dict[Variable, str]]]) -> Iterator[dict[Variable, str]]:
    if not walks:
        yield {}
        return
    for later in _product(walks[1:]):
        for first in walks[0]:
            yield {**later, **first}
