"""Filters that would make libvirt learn: it then lets the guest keep the first address that it shows (promise P3)."""

from __future__ import annotations

from collections.abc import Container, Iterable

from reconciler.model.actions import DefineFilter
from reconciler.model.live import Live
from reconciler.model.plan import Step
from reconciler.nwfilter.guard import learns_addresses
from reconciler.nwfilter.variables import Lookup
from reconciler.plan.reach import Reach


def learners(steps: Iterable[Step], live: Live, later: Lookup, reach: Reach, ready: Container[str]) -> dict[str, str]:
    """Steps after which libvirt would learn an address of a running port, and the guest of that port.

    The guest's own filterref comes after its filters, so what it will set does not help: the binding's counts, but for
    ports that are made `ready` before.
    """
    before = {f.definition.name: f.definition for f in live.filters}
    return {
        step.id: binding.owner
        for step in steps
        if isinstance(step.action, DefineFilter) and step.rebuilds
        for binding in reach.bindings(step.action.name)
        if binding.port not in ready
        and learns_addresses(later, binding.filterref)
        and not learns_addresses(before.get, binding.filterref)
    }
