"""Hand-overs: an address is released by its old owner before the new one claims it (promise P4).

Owners that wait for each other in a circle are brought out of it by one that first withdraws: its guard keeps what it
may keep and gives up the rest; a port without a guard is closed until it has its new addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from reconciler.model.actions import ChangeLiveFilterref, CloseGate, DefineFilter
from reconciler.model.guest import Attach, Interface
from reconciler.model.live import Live
from reconciler.model.plan import Step
from reconciler.model.site import Desired
from reconciler.nwfilter.guard import guard_filter
from reconciler.nwfilter.variables import Lookup
from reconciler.plan.addresses import Network, named, overlap
from reconciler.plan.interim import withdrawn
from reconciler.plan.order import StepCycle, ordered
from reconciler.plan.owners import Key, Owner, keepers, owners
from reconciler.plan.rates import Rates
from reconciler.plan.simulated import Simulated

_WITHDRAWS = "addresses are exchanged in a circle, and its new ones are free only when it has let go of its own"


def with_hand_overs(
    steps: tuple[Step, ...], desired: Desired, live: Live, host: str, lookup: Lookup, rates: Rates
) -> tuple[Step, ...]:
    """The same steps, those that claim an address placed after all that release it, and withdrawals where needed."""
    return _HandOvers(steps, tuple(owners(steps, desired, live, host)), live, lookup, rates).steps()


def kept_elsewhere(steps: tuple[Step, ...], desired: Desired, live: Live, host: str) -> dict[str, str]:
    """Steps that claim an address which somebody holds whom no step makes release it, and who holds which."""
    claimers = [owner for owner in owners(steps, desired, live, host) if owner.claimed and owner.steps]
    if not claimers:
        return {}
    index = _Overlaps(claimers)
    found: dict[str, str] = {}
    for holder in keepers(steps, desired, live, host):
        for claimer in index.claimers_of(holder.held):
            if holder.guest != claimer.key[0]:
                kept = named(each for each in claimer.claimed if overlap([each], holder.held))
                found.update(dict.fromkeys(claimer.steps, f"{holder.name} still holds {kept}"))
    return found


class _Overlaps:
    """Claims by address, so that a holder costs what it holds and not the number of claims."""

    def __init__(self, claimers: Iterable[Owner]) -> None:
        spans = [
            (network.version, int(network.network_address), int(network.broadcast_address), number, owner)
            for number, owner in enumerate(claimers)
            for network in owner.claimed
        ]
        self._by_version = {version: sorted(s[1:] for s in spans if s[0] == version) for version in (4, 6)}

    def claimers_of(self, held: Iterable[Network]) -> Iterator[Owner]:
        for network in held:
            first, last = int(network.network_address), int(network.broadcast_address)
            for begin, end, _, owner in self._by_version[network.version]:
                if begin > last:
                    break
                if end >= first:
                    yield owner


@dataclass(frozen=True, slots=True)
class _Withdrawal:
    """The step by which an owner gives up, None where it has already, and those of its own steps that it changes."""

    step: Step | None
    changed: Mapping[str, Step]

    @property
    def ids(self) -> tuple[str, ...]:
        return (self.step.id,) if self.step else ()


class _HandOvers:
    def __init__(
        self, steps: tuple[Step, ...], owners: tuple[Owner, ...], live: Live, lookup: Lookup, rates: Rates
    ) -> None:
        self._steps = {step.id: step for step in steps}
        self._owners = {owner.key: owner for owner in owners}
        self._live = live
        self._lookup = lookup
        self._rates = rates
        self._withdrawals: dict[Key, _Withdrawal] = {}
        index = _Overlaps(owner for owner in owners if owner.claimed and owner.steps)
        self._waits: dict[Key, set[Key]] = {}
        for holder in owners:
            for claimer in index.claimers_of(holder.held):
                if claimer.key[0] != holder.key[0] and holder.steps:
                    self._waits.setdefault(claimer.key, set()).add(holder.key)

    def steps(self) -> tuple[Step, ...]:
        while True:
            found = self._placed()
            try:
                ordered(found)
            except StepCycle as cycle:
                if not self._break(frozenset(cycle.ids)):
                    return found
            else:
                return found

    def _placed(self) -> tuple[Step, ...]:
        later: dict[str, list[str]] = {}
        for claimer, holders in self._waits.items():
            released = [step for holder in sorted(holders) for step in self._releasing(holder)]
            for step in self._owners[claimer].steps:
                later.setdefault(step, []).extend(released)
        for key, withdrawal in self._withdrawals.items():
            for step in self._owners[key].steps:
                later.setdefault(step, []).extend(withdrawal.ids)
        changed = {id: step for each in self._withdrawals.values() for id, step in each.changed.items()}
        steps = [changed.get(id, step) for id, step in self._steps.items()]
        placed = (replace(step, after=(*step.after, *later.get(step.id, ()))) for step in steps)
        return (*(each.step for each in self._withdrawals.values() if each.step), *placed)

    def _releasing(self, holder: Key) -> tuple[str, ...]:
        withdrawal = self._withdrawals.get(holder)
        return withdrawal.ids if withdrawal else self._owners[holder].steps

    def _break(self, circle: frozenset[str]) -> bool:
        """Have one owner in the circle withdraw; the one that loses least, and of equal ones always the same."""
        inside = [o for o in self._owners.values() if not circle.isdisjoint(o.steps) and o.key not in self._withdrawals]
        found = ((*made, owner.key) for owner in inside if (made := self._withdrawal(owner)))
        best = min(found, key=lambda each: (each[0], each[2]), default=None)
        if best is not None:
            self._withdrawals[best[2]] = best[1]
        return best is not None

    def _withdrawal(self, owner: Owner) -> tuple[int, _Withdrawal] | None:
        """What it costs (0: it keeps addresses of each family, 1: it loses one, 2: its port closes), and how.

        Who runs without what others wait for has given it up: a run that was cut off had it withdraw. What is stored
        follows when the circle is undone.
        """
        if owner.interface is None:
            return None
        if owner.released and any(owner.key in holders for holders in self._waits.values()):
            return 0, _Withdrawal(None, {})
        if owner.interface.attach is Attach.GUARD:
            return self._of_guard(owner, owner.interface)
        live = self._steps.get(f"live:{owner.key[0]}:{owner.key[1]}")
        if live is None or not isinstance(live.action, ChangeLiveFilterref):
            return None
        close = CloseGate(live.action.guest, live.action.mac, live.action.port)
        step = Step(f"withdraw:{live.action.port}", close, _WITHDRAWS, live.disruption)
        action = replace(live.action, closed_before=True)
        return 2, _Withdrawal(step, {live.id: replace(live, action=action)})

    def _of_guard(self, owner: Owner, interface: Interface) -> tuple[int, _Withdrawal] | None:
        guard = guard_filter(owner.key[0], interface)
        last = self._steps.get(f"filter:{guard.name}")
        less = withdrawn(interface, owner.held, self._lookup)
        if last is None or less is None or self._live.filter(guard.name) is None:
            return None
        given_up = guard_filter(owner.key[0], less)
        simulated = Simulated(self._live, self._rates)
        before = [id for id in (f"filter:{less.filter}", f"back:{guard.name}") if id in self._steps]
        before += last.after  # it has no other variables than the last one, so no other filters can do with it
        step = simulated.define(f"withdraw:{guard.name}", given_up, _WITHDRAWS, before)
        assert isinstance(step.action, DefineFilter)
        assert isinstance(last.action, DefineFilter)
        action = replace(last.action, previous_xml=step.action.xml)
        loses_family = less.filter != interface.filter
        step = replace(step, action=replace(step.action, withdraws=True, previous_xml=last.action.previous_xml))
        return int(loses_family), _Withdrawal(step, {last.id: replace(last, action=action)})
