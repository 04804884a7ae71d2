"""Which guests a plan may harm: those that a step is about, or whose rules a step builds anew."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.model.actions import (
    Action,
    DefineFilter,
    RemoveRules,
    RestartDaemon,
    SetSupplement,
    ShutDownGuest,
    StartGuest,
)
from reconciler.model.live import Live
from reconciler.model.plan import Plan
from reconciler.plan.reach import Reach


def touched_guests(plan: Plan, live: Live) -> frozenset[str]:
    """By name. Guests that the plan leaves shut down are none: nobody expects an answer of them."""
    reach = Reach(live)
    found = {guest for step in plan.steps for guest in _touched(step.action, live, reach)}
    down: set[str] = set()
    for step in plan.steps:
        match step.action:
            case ShutDownGuest(guest=guest):
                down.add(guest)
            case StartGuest(guest=guest):
                down.discard(guest)
    return frozenset(found - down)


def _touched(action: Action, live: Live, reach: Reach) -> Iterator[str]:
    owners = {binding.port: binding.owner for binding in live.bindings}
    match action:
        case DefineFilter(name=name):
            yield from (binding.owner for binding in reach.bindings(name))
        case RestartDaemon():
            yield from owners.values()
        case RemoveRules(port=port) if port in owners:
            yield owners[port]
        case SetSupplement(wanted=wanted, replaced=replaced):
            changed = {each.mac for each in {*(wanted or ())} ^ {*(replaced or ())}}
            yield from (binding.owner for binding in live.bindings if binding.mac in changed)
        case _ if action.target.startswith("guest/"):
            yield action.target.removeprefix("guest/")
