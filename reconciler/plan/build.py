"""Turn what is desired and what is live into a plan. Pure: the same inputs give the same plan."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from datetime import datetime
from types import MappingProxyType

from reconciler.model.actions import DefineFilter, StartGuest
from reconciler.model.disruption import Disruption
from reconciler.model.live import Live
from reconciler.model.plan import Plan, Step
from reconciler.model.site import Desired
from reconciler.nwfilter.stock import STOCK_FILTERS
from reconciler.plan.allowance import allowed_disruption
from reconciler.plan.filters import FilterPlan, Wanted, lost_first, on_copies, plan_filters, prune_steps, wanted_on
from reconciler.plan.ground import Ground
from reconciler.plan.guests import guest_steps
from reconciler.plan.handover import with_hand_overs
from reconciler.plan.holding import Holds
from reconciler.plan.order import held_back, ordered
from reconciler.plan.rates import Rates
from reconciler.plan.reach import Reach
from reconciler.plan.readying import following, widenings
from reconciler.plan.refusals import Refusals
from reconciler.plan.restarts import one_after_another, starts_last, with_owed
from reconciler.plan.strangers import cleared_first
from reconciler.plan.supplement import with_supplement

__all__ = ["Rates", "digest", "make_plan"]


def make_plan(
    desired: Desired,
    live: Live,
    host: str,
    allow: Disruption | None = None,
    rates: Rates | None = None,
    *,
    now: datetime | None = None,
    holds: Holds = MappingProxyType({}),
    owed: Iterable[str] = (),
) -> Plan:
    """The steps that bring `live` to `desired` on one host.

    Steps above what the policy allows `now` (or `allow`, where that is more) wait, and whatever must follow them too.
    `owed` are guests that an interrupted run shut down: they are started whatever the policy says.
    """
    rates = rates or Rates()
    most = allowed_disruption(desired.policy, now, allow)
    owed = tuple(owed)
    wanted = wanted_on(desired, live, host)
    plan, waiting = _plan(desired, live, host, wanted, most, rates, holds, owed)
    stuck = on_copies((id.removeprefix("filter:") for id in waiting if id.startswith("filter:")), live)
    return _plan(desired, live, host, wanted, most, rates, holds, owed, stuck)[0] if stuck else plan


def _plan(
    desired: Desired,
    live: Live,
    host: str,
    wanted: Wanted,
    most: Disruption,
    rates: Rates,
    holds: Holds,
    owed: Iterable[str],
    back: frozenset[str] = frozenset(),
) -> tuple[Plan, frozenset[str]]:
    """The plan, and the ids of its steps that wait."""
    reach = Reach(live)
    filters = plan_filters(desired, live, host, wanted, most, rates, back)
    ground = Ground(desired, live, host, wanted.tolerated, filters.redefined, reach, rates, most)
    steps = _all_steps(filters, ground, wanted, owed, reach)
    refusals = Refusals(steps, filters, ground, reach, most, holds)
    held = held_back(steps, lambda step: refusals.of(step) is not None, bonds(steps, filters))
    waits = tuple(refusals.waiting(step) for step in steps if step.id in held)
    chosen = ordered(step for step in steps if step.id not in held)
    chosen, beside = with_supplement(chosen, (step for step in steps if step.id in held), ground, holds)
    notes = tuple(_notes(filters.steps, desired, reach))
    plan = Plan(desired.source, host, chosen, (*ground.waiting, *waits, *beside), notes, ways=filters.ways)
    return replace(plan, digest=digest(plan)), frozenset(held)


def _all_steps(
    filters: FilterPlan, ground: Ground, wanted: Wanted, owed: Iterable[str], reach: Reach
) -> tuple[Step, ...]:
    desired, live, host = ground.desired, ground.live, ground.host
    guests = tuple(filters.follow(step) for step in guest_steps(ground))
    changes = with_owed((*filters.steps, *guests), owed, ground)
    changes = tuple(cleared_first(tuple(following(changes, filters.ready, filters.rollout))))
    changes = with_hand_overs(changes, desired, live, host, ground.lookup, ground.rates)
    changes = starts_last(one_after_another(changes, desired.guests, desired.policy.max_down))
    return lost_first((*changes, *prune_steps(desired, live, wanted, changes, reach)), reach)


def bonds(steps: tuple[Step, ...], filters: FilterPlan) -> tuple[frozenset[str], ...]:
    """Steps of which all are taken or none: a roll-out, a withdrawal with what it is for, a stop with its start."""
    ids = {step.id for step in steps}
    follow = {step.id: {each.id for each in steps if step.id in each.after} for step in steps if _leads_on(step)}
    restarts = (frozenset((f"stop:{name}", f"start:{name}")) for name in _restarted(steps))
    return (
        (filters.rollout | widenings(filters.ready)) & ids,
        *(frozenset((id, *others)) for id, others in follow.items()),
        *restarts,
    )


def _leads_on(step: Step) -> bool:
    return step.id.startswith("withdraw:")


def _restarted(steps: tuple[Step, ...]) -> Iterator[str]:
    return (s.action.guest for s in steps if isinstance(s.action, StartGuest) and s.action.again and s.action.undo)


def digest(plan: Plan) -> str:
    """sha256 over source, host and what each step does and replaces; estimates and reasons do not count."""
    actions = [[step.id, asdict(step.action), list(step.after)] for step in plan.steps]
    text = json.dumps([plan.source, plan.host, actions], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _notes(filters: tuple[Step, ...], desired: Desired, reach: Reach) -> Iterator[str]:
    managed = {guest.name for guest in desired.guests}
    for step in filters:
        action = step.action
        if not isinstance(action, DefineFilter) or action.previous_xml is None:
            continue
        others = sorted({b.owner for b in reach.bindings(action.name)} - managed)
        if others:
            kind = "libvirt's own filter" if action.name in STOCK_FILTERS else "the filter"
            users = ", ".join(others)
            yield f"{kind} {action.name} is redefined, and guests that the site does not manage use it: {users}"
