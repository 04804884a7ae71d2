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
from reconciler.model.supplement import Element, Supplement
from reconciler.nwfilter.floods import LIMITED, limit_in
from reconciler.nwfilter.supplement import GUESTS, OPTIONS, supplement_of, with_rules
from reconciler.nwfilter.supplement_compare import SupplementDifference, owners_of, supplement_differences
from reconciler.plan.ground import Ground
from reconciler.plan.holding import HOST, Holds, is_suspended

_Elements = frozenset[Element]


def with_supplement(
    chosen: tuple[Step, ...], held: Iterable[Step], ground: Ground, holds: Holds
) -> tuple[tuple[Step, ...], tuple[Waiting, ...]]:
    """The chosen steps between those of the table, and what of it waits for the held ones."""
    wanted, found = supplement_of(ground.desired, ground.host), ground.live.kernel.supplement
    differences = tuple(supplement_differences(wanted, found))
    counted = [each for each in differences if not _is_ignored(each, ground)]
    if not counted:
        return chosen, ()
    if HOST in holds:
        return chosen, (_WAITING,)
    has_foreign_rules = wanted is not None and found is not None and any(each.mac is None for each in differences)
    table = _Table(ground, found, keeps_rules=has_foreign_rules and all(each.mac for each in counted))
    if wanted is None:
        return (*chosen, table.step("supplement", None, "the site wants no supplement", chosen)), ()
    there = frozenset(found.elements) if found else frozenset()
    left = _left_macs(ground, held, holds)
    own, ignored = frozenset(wanted.elements), _left_as_found(differences, ground)

    def is_left(each: Element) -> bool:
        return each.mac in left or (each.mac, each.set) in ignored

    goal = frozenset({each for each in own if not is_left(each)} | {each for each in there if is_left(each)})
    waits = (_WAITING,) if any(each.mac in left for each in goal ^ own) else ()
    first = _tightened(goal, there) if chosen else goal
    steps = list(chosen)
    if table.differs(first):
        name, why = ("supplement:narrow", _FIRST) if first != goal else ("supplement", _REASON)
        steps.insert(0, table.step(name, first, why, ()))
    if table.differs(goal):
        steps.append(table.step("supplement", goal, _REASON, steps))
    return tuple(steps), waits


def _is_ignored(difference: SupplementDifference, ground: Ground) -> bool:
    return ground.tolerance.ignores(*difference.place(owners_of(ground.desired, ground.host)), Layer.KERNEL)


def _left_as_found(differences: Iterable[SupplementDifference], ground: Ground) -> frozenset[tuple[str, str]]:
    """What is ignored, by MAC and set. Where there is no table at all nothing is."""
    left = (each for each in differences if _is_ignored(each, ground))
    return frozenset((each.mac, each.field.removeprefix("supplement.")) for each in left if each.mac)


class _Table:
    """Our own table as the steps so far leave it."""

    def __init__(self, ground: Ground, found: Supplement | None, *, keeps_rules: bool) -> None:
        self._limit = ground.desired.policy.flood_limit
        self._keeps_rules = keeps_rules
        self._is_ours = keeps_rules or (found is not None and found == with_rules(found.elements, self._limit))
        self._elements = found.elements if found else None
        self._limit_before = limit_in(found)

    def differs(self, wanted: _Elements) -> bool:
        return not self._is_ours or frozenset(self._elements or ()) != wanted

    def step(self, identifier: str, wanted: Iterable[Element] | None, reason: str, after: Iterable[Step]) -> Step:
        elements = None if wanted is None else tuple(sorted(wanted))
        limits = None if elements is None else self._limit, self._limit_before
        action = SetSupplement(elements, self._elements, *limits, keeps_rules=self._keeps_rules)
        self._elements, self._limit_before, self._is_ours = elements, limits[0], True
        return Step(identifier, action, reason, after=tuple(step.id for step in after))


_NARROWING = (GUESTS, OPTIONS, LIMITED)
_REASON = "our own table is not what the site says"
_FIRST = "what is taken from a guest goes before any port changes, what is given follows"
_WAITING = Waiting(
    "host",
    SetSupplement(None, None).describe(),
    WaitReason.POLICY,
    "what concerns guests whose own steps wait follows those",
)


def _tightened(goal: _Elements, there: _Elements) -> _Elements:
    """What both allow of guests that the table has already, all of new ones, and of those who leave what there is."""
    covered = {each.mac for each in there if each.set == GUESTS}
    staying = {each.mac for each in goal}
    narrow = (each for each in goal if each.mac not in covered or each in there or each.set in _NARROWING)
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
