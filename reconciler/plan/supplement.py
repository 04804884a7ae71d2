"""Steps that bring our own table to the site, placed so that it is never wider than what ports may (P3, P4).

First everything that it takes from a guest, before any port changes; last everything that it gives. In between it is
what both the old and the new state allow. A guest whose own steps wait keeps what the table has of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.model.actions import DefineFilter, SetSupplement
from reconciler.model.drift import Layer
from reconciler.model.guest import Guest, guard_name
from reconciler.model.plan import Step, Waiting, WaitReason
from reconciler.model.supplement import Element
from reconciler.nwfilter.supplement import GUESTS, OBJECT, OPTIONS, supplement_of, with_rules
from reconciler.plan.ground import Ground
from reconciler.plan.holding import HOST, Holds, is_suspended

_Elements = frozenset[Element]


def with_supplement(
    chosen: tuple[Step, ...], held: Iterable[Step], ground: Ground, holds: Holds
) -> tuple[tuple[Step, ...], tuple[Waiting, ...]]:
    """The chosen steps between those of the table, and what of it waits for the held ones."""
    if ground.tolerance.ignores(OBJECT, "supplement", Layer.KERNEL):
        return chosen, ()
    wanted, found = supplement_of(ground.desired, ground.host), ground.live.kernel.supplement
    if wanted == found:
        return chosen, ()
    there = frozenset(found.elements) if found else frozenset()
    left = _left_macs(ground, held, holds)
    kept = {each for each in there if each.mac in left}
    goal = frozenset({each for each in wanted.elements if each.mac not in left} | kept) if wanted else frozenset()
    waits = (_WAITING,) if wanted and goal != frozenset(wanted.elements) else ()
    before = found.elements if found else None
    if HOST in holds:
        return chosen, (_WAITING,)
    if wanted is None:
        return (*chosen, _step("supplement", None, before, "the site wants no supplement", chosen)), ()
    first = _tightened(goal, there) if chosen else goal
    steps = list(chosen)
    if found != with_rules(first):
        name, why = ("supplement:narrow", _FIRST) if first != goal else ("supplement", _REASON)
        steps.insert(0, _step(name, first, before, why, ()))
        before = tuple(sorted(first))
    if first != goal:
        steps.append(_step("supplement", goal, before, _REASON, steps))
    return tuple(steps), waits


_REASON = "our own table is not what the site says"
_FIRST = "what is taken from a guest goes before any port changes, what is given follows"
_WAITING = Waiting(
    "host",
    SetSupplement(None, None).describe(),
    WaitReason.POLICY,
    "what concerns guests whose own steps wait follows those",
)


def _step(
    identifier: str,
    wanted: Iterable[Element] | None,
    before: tuple[Element, ...] | None,
    reason: str,
    after: Iterable[Step],
) -> Step:
    elements = None if wanted is None else tuple(sorted(wanted))
    return Step(identifier, SetSupplement(elements, before), reason, after=tuple(step.id for step in after))


def _tightened(goal: _Elements, there: _Elements) -> _Elements:
    """What both allow of guests that the table has already, all of new ones, and of those who leave what there is."""
    covered = {each.mac for each in there if each.set == GUESTS}
    staying = {each.mac for each in goal}
    narrow = (each for each in goal if each.mac not in covered or each in there or each.set in (GUESTS, OPTIONS))
    return frozenset(narrow) | {each for each in there if each.mac not in staying}


def _left_macs(ground: Ground, held: Iterable[Step], holds: Holds) -> frozenset[str]:
    """Of guests of whom something waits: their rules are not yet those of the site."""
    guests = ground.desired.guests_on(ground.host)
    targets = {step.action.target for step in held}
    guards = {step.action.name for step in held if isinstance(step.action, DefineFilter)}
    left = [guest for guest in guests if _is_left(guest, targets, guards, holds)]
    macs = {interface.mac for guest in left for interface in guest.interfaces}
    live = {guest.name for guest in left}
    return frozenset(macs | {nic.mac for each in ground.live.domains if each.name in live for nic in each.nics})


def _is_left(guest: Guest, targets: set[str], guards: set[str], holds: Holds) -> bool:
    waits = f"guest/{guest.name}" in targets or any(guard_name(guest.name, i.mac) in guards for i in guest.interfaces)
    return guest.hold or waits or is_suspended(guest.name, holds)
