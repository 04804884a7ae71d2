"""Put steps in an order that respects what must come first, and hold back what depends on a held step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush

from reconciler.model.plan import Step


class StepCycle(ValueError):
    """Steps wait for each other in a circle: `ids` names them in order."""

    def __init__(self, ids: tuple[str, ...]) -> None:
        super().__init__(" → ".join(ids))
        self.ids = ids


def ordered(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Each as early as its place among the given ones allows. References to steps that are not there are dropped."""
    by_id = {step.id: step for step in steps}
    rank = {identifier: position for position, identifier in enumerate(by_id)}
    sorter = TopologicalSorter({i: [a for a in step.after if a in by_id] for i, step in by_id.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        raise StepCycle(tuple(reversed(error.args[1]))) from None
    ready: list[tuple[int, str]] = []
    result: list[Step] = []
    while sorter.is_active():
        for identifier in sorter.get_ready():
            heappush(ready, (rank[identifier], identifier))
        step = by_id[heappop(ready)[1]]
        result.append(replace(step, after=tuple(a for a in dict.fromkeys(step.after) if a in by_id)))
        sorter.done(step.id)
    return tuple(result)


def held_back(
    steps: Iterable[Step], forbidden: Callable[[Step], bool], bonds: Iterable[frozenset[str]] = ()
) -> frozenset[str]:
    """Ids of the steps that are forbidden, that must follow one that is, or that are bound to one that is held back.

    Of bound steps all are done, or none.
    """
    held: set[str] = set()
    remaining = list(steps)
    bound = list(bonds)
    while True:
        more = {s.id for s in remaining if s.id not in held and (forbidden(s) or held.intersection(s.after))}
        more |= {id for bond in bound if not bond.isdisjoint(held | more) for id in bond} - held
        if not more:
            return frozenset(held)
        held |= more
