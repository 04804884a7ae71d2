"""Rules that libvirt or ebtables would refuse to make for an interface: its start or its update would fail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reconciler.load.filter_rules import Use
from reconciler.load.filters import FilterSet
from reconciler.load.findings import Findings
from reconciler.model.filter import FilterRef
from reconciler.model.origin import Origin
from reconciler.nwfilter.expand_ethernet import ethernet_rules
from reconciler.nwfilter.instances import CannotInstantiate, Instance, combinations, rule_instances


def check_instances(placed: Iterable[tuple[Use, Origin]], filters: FilterSet, findings: Findings) -> None:
    """One problem for each refused rule, at the first interface that would get it."""
    told: set[str] = set()
    for use, place in placed:
        for message in _refused(use, filters):
            if message not in told:
                findings.report("filter-not-instantiable", place, message)
            told.add(message)


def _refused(use: Use, filters: FilterSet) -> Iterator[str]:
    for instance in _instances(use, filters):
        try:
            _make_rules(instance)
        except CannotInstantiate as error:
            yield str(error)


def _instances(use: Use, filters: FilterSet) -> Iterator[Instance]:
    """Those of the site's filters: of libvirt's own only a stand-in is known here."""
    try:
        found = rule_instances(filters.lookup, FilterRef(use.filter, use.parameters), use.mac)
    except CannotInstantiate:
        return  # a missing variable, which has a problem of its own
    yield from (instance for instance in found if instance.source.filter in filters.site)


def _make_rules(instance: Instance) -> None:
    if not instance.is_ethernet:
        tuple(combinations(instance))
        return
    for reverse in {"out": (False,), "in": (True,), "inout": (False, True)}[instance.rule.direction]:
        tuple(ethernet_rules(instance, "chain", reverse=reverse))
