"""Turn what is desired and what is live into a plan. Pure: the same inputs give the same plan."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType

from reconciler.model.live import FilterFile, Live, LiveFilter
from reconciler.model.plan import DefineFilter, Plan, Step, UndefineFilter, Waiting, WaitReason
from reconciler.model.site import Desired, Disruption
from reconciler.nwfilter.format import format_filter
from reconciler.nwfilter.guard import mark_uuid
from reconciler.nwfilter.stock import STOCK_FILTERS
from reconciler.nwfilter.tolerance import Tolerance
from reconciler.nwfilter.wanted import wanted_filters
from reconciler.plan.ground import Ground
from reconciler.plan.guests import guest_steps
from reconciler.plan.handover import held_elsewhere, kept_elsewhere, with_hand_overs
from reconciler.plan.holding import Holds, held_steps
from reconciler.plan.learning import learners
from reconciler.plan.order import StepCycle, held_back, ordered
from reconciler.plan.reach import Reach

REBUILD_SECONDS = 1.8
"""One binding's rebuild where this host has recorded none of its own."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What things cost on this host, in seconds."""

    rebuild: float = REBUILD_SECONDS
    write: float = 0.01


def make_plan(
    desired: Desired,
    live: Live,
    host: str,
    allow: Disruption | None = None,
    rates: Rates | None = None,
    holds: Holds = MappingProxyType({}),
) -> Plan:
    """The steps that bring `live` to `desired` on one host.

    Steps above the policy's disruption (or `allow`, where that is more) wait, and whatever must follow them too.
    """
    rates = rates or Rates()
    reach = Reach(live)
    filters = tuple(_filter_steps(desired, live, host, reach, rates))
    redefined = {step.action.name: bool(step.rebuilds) for step in filters if isinstance(step.action, DefineFilter)}
    ground = Ground(desired, live, host, redefined, reach, rates.rebuild)
    guests = tuple(guest_steps(ground))
    changes = with_hand_overs((*filters, *guests), desired, live, host)
    steps = (*changes, *_prune_steps(desired, live, host, reach, changes))
    most = max(desired.policy.disruption, allow or Disruption.NONE)
    refusals = {
        **dict.fromkeys(_circles(steps), _CIRCLE),
        **{step: _held(guest) for step, guest in held_elsewhere(changes, desired, live, host).items()},
        **{step: _kept(guest) for step, guest in kept_elsewhere(changes, desired, live, host).items()},
        **{step: _learned(guest) for step, guest in learners(filters, desired, live, host, reach).items()},
        **held_steps(steps, desired, host, holds),
    }
    reasons = {step.id: reason for step in steps if (reason := _forbidden(step, most, refusals))}
    held = held_back(steps, lambda step: step.id in reasons)
    waits = tuple(_waiting(step, reasons.get(step.id, _FOLLOWS)) for step in steps if step.id in held)
    chosen = ordered(step for step in steps if step.id not in held)
    notes = tuple(_notes(filters, desired, reach))
    plan = Plan(desired.source, host, chosen, (*ground.waiting, *waits), notes)
    return replace(plan, digest=digest(plan))


_Reason = tuple[WaitReason, str]
_FOLLOWS: _Reason = (WaitReason.POLICY, "it follows a step that waits")
_CIRCLE: _Reason = (
    WaitReason.UNSUPPORTED,
    "addresses are exchanged in a circle: withdraw one of them in a commit of its own first",
)


def _forbidden(step: Step, most: Disruption, refusals: Mapping[str, _Reason]) -> _Reason | None:
    if step.disruption > most:
        return WaitReason.POLICY, f"`apply --allow {step.disruption}` does it"
    return refusals.get(step.id)


def _held(holder: str) -> _Reason:
    return WaitReason.UNSUPPORTED, f"{holder} still holds the address: stop the guest, or delete the snapshot, first"


def _kept(guest: str) -> _Reason:
    hint = f"guest {guest} keeps the address, because the site ignores that it has it: remove that rule first"
    return WaitReason.UNSUPPORTED, hint


def _learned(guest: str) -> _Reason:
    hint = (
        f"libvirt would let guest {guest} choose its own IP, which its filterref does not set: give the new rules to "
    )
    return WaitReason.UNSUPPORTED, hint + "a filter of another name, and choose that one"


def _circles(steps: tuple[Step, ...]) -> frozenset[str]:
    """Ids of all steps that wait for each other in a circle."""
    found: set[str] = set()
    while True:
        try:
            ordered(step for step in steps if step.id not in found)
        except StepCycle as cycle:
            found.update(cycle.ids)
        else:
            return frozenset(found)


def _waiting(step: Step, reason: _Reason) -> Waiting:
    why, hint = reason
    return Waiting(step.action.target, step.action.describe(), why, hint, step.disruption)


def digest(plan: Plan) -> str:
    """sha256 over source, host and what each step does and replaces; estimates and reasons do not count."""
    actions = [[step.id, asdict(step.action), list(step.after)] for step in plan.steps]
    text = json.dumps([plan.source, plan.host, actions], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _filter_steps(desired: Desired, live: Live, host: str, reach: Reach, rates: Rates) -> Iterator[Step]:
    for wanted in Tolerance(desired.ignore).filters(wanted_filters(desired, host), live):
        held = live.filter(wanted.name)
        is_same = held is not None and held.definition == wanted
        if held is not None and is_same and held.file is FilterFile.SAME:
            continue
        rebuilds = len(reach.bindings(wanted.name)) if held and not is_same else 0
        xml = format_filter(wanted, held.uuid if held else mark_uuid(wanted.name))
        yield Step(
            f"filter:{wanted.name}",
            DefineFilter(wanted.name, xml, held.xml if held else None),
            _reason(held, is_same=is_same),
            Disruption.REBUILD if rebuilds else Disruption.NONE,
            rebuilds,
            rates.write + rebuilds * rates.rebuild,
            after=tuple(f"filter:{name}" for name in wanted.references),
        )


def _reason(held: LiveFilter | None, *, is_same: bool) -> str:
    if held is None:
        return "the site has it, libvirt does not"
    if not is_same:
        return "its definition differs from the site"
    if held.file is FilterFile.ABSENT:
        return "its file is gone: libvirt would lose it at its next start"
    return "its file is not what libvirt holds, and comes into force at its next start"


def _prune_steps(desired: Desired, live: Live, host: str, reach: Reach, changes: tuple[Step, ...]) -> Iterator[Step]:
    if not desired.policy.prune:
        return
    wanted = {definition.name for definition in wanted_filters(desired, host)}
    orphans = {f.definition.name for f in live.filters if f.owned and f.definition.name not in wanted}
    gone = frozenset(orphans)
    while kept := {name for name in gone if reach.needed_by(name, desired, gone)}:
        gone -= kept
    for name in sorted(gone):
        held = live.filter(name)
        referrers = (f"prune:{f.definition.name}" for f in live.filters if name in f.definition.references)
        if held is not None:
            after = (*(step.id for step in changes), *referrers)
            reason = "it carries our mark, and the site has it no more"
            yield Step(f"prune:{name}", UndefineFilter(name, held.xml), reason, after=after)


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
