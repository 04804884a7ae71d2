"""What the in-memory host computes: its kernel's rules, a filter as libvirt holds it, what is the same to libvirt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from uuid import NAMESPACE_OID, uuid5

from reconciler.errors import HostError
from reconciler.model.filter import FilterRef, NwFilter
from reconciler.model.kernel import KernelChain, KernelRules, Ruleset
from reconciler.model.live import Binding, FilterFile, LiveFilter
from reconciler.nwfilter.ebtables import parse_ebtables
from reconciler.nwfilter.expand import Expected, expand
from reconciler.nwfilter.format import format_filter
from reconciler.nwfilter.guard import mark_uuid, temporary_uuid
from reconciler.nwfilter.instances import CannotInstantiate
from reconciler.nwfilter.parse import parse_filter
from reconciler.nwfilter.syntax import FilterSyntax
from reconciler.nwfilter.variables import Lookup, closure, find_loop


def kernel_rules(installed: Mapping[str, Expected], foreign: Iterable[tuple[str, str]]) -> KernelRules:
    """What every port was expanded to when it was built last, behind rules of others: a hook's name and a rule."""
    chains: dict[str, KernelChain] = {}
    for port in sorted(installed):
        for chain in installed[port].ethernet.chains:
            held = chains.get(chain.name)
            chains[chain.name] = replace(chain, rules=(*held.rules, *chain.rules)) if held else chain
    for hook, text in sorted(foreign):
        (rule,) = parse_ebtables(f"*nat\n{text}").chains[0].rules
        held = chains.get(hook, KernelChain(hook, "ACCEPT"))
        chains[hook] = replace(held, rules=(rule, *held.rules))
    return KernelRules(Ruleset(tuple(chains.values())))


def filter_of(xml: str) -> LiveFilter:
    """A definition as it is held: one without a uuid gets one, which is not our mark. Raises `HostError`."""
    try:
        definition = parse_filter(xml)
    except FilterSyntax as error:
        raise HostError(f"libvirt refused to define a filter: {error.message}") from error
    name = definition.name
    if definition.uuid is None:
        return LiveFilter(definition, uuid := str(uuid5(NAMESPACE_OID, name)), False, format_filter(definition, uuid))
    owned, temporary = definition.uuid == mark_uuid(name), definition.uuid == temporary_uuid(name)
    return LiveFilter(definition, definition.uuid, owned, xml, temporary=temporary)


def file_state(held: LiveFilter, files: Mapping[str, str | None]) -> FilterFile:
    """`files` are those that are not what libvirt wrote itself: other texts, None for one that is gone."""
    if held.definition.name not in files:
        return FilterFile.SAME
    text = files[held.definition.name]
    if text is None:
        return FilterFile.ABSENT
    try:
        return FilterFile.SAME if parse_filter(text) == held.definition else FilterFile.DIFFERENT
    except FilterSyntax:
        return FilterFile.DIFFERENT


def require_tree(definition: NwFilter, lookup: Lookup) -> None:
    """Refuse a definition that closes a circle of references."""
    if find_loop(lambda name: definition if name == definition.name else lookup(name), definition.name):
        raise HostError(f"filter '{definition.name}' would introduce a loop")


def build(binding: Binding, lookup: Lookup) -> Expected:
    """The rules of a binding. Raises `HostError` where a filter or a variable is missing."""
    missing = [name for name in closure(lookup, binding.filterref.filter) if lookup(name) is None]
    if missing:
        raise HostError(f"referenced filter '{missing[0]}' is missing")
    try:
        return expand(lookup, binding.filterref, binding.mac, binding.port)
    except CannotInstantiate as error:
        raise HostError(error.message) from error


def same_to_libvirt(one: FilterRef | None, other: FilterRef | None) -> bool:
    """Values are compared as sets of equal count (virNWFilterVarValueEqual)."""
    if one is None or other is None:
        return one is other
    names = {name for name, _ in (*one.parameters, *other.parameters)}
    same_values = all(
        set(one.values(name)) == set(other.values(name)) and len(one.values(name)) == len(other.values(name))
        for name in names
    )
    return one.filter == other.filter and same_values
