"""Put steps in an order that respects what must come first, and hold back what depends on a held step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from reconciler.model.plan import Step


class StepCycle(ValueError):
    """Steps wait for each other in a circle: `ids` names them in order."""

    def __init__(self, ids: tuple[str, ...]) -> None:
        super().__init__(" → ".join(ids))
        self.ids = ids


def ordered(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Topological order, stable where nothing decides. References to steps that are not there are dropped."""
    by_id = {step.id: step for step in steps}
    rank = {identifier: position for position, identifier in enumerate(by_id)}
    sorter = TopologicalSorter({i: [a for a in step.after if a in by_id] for i, step in by_id.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        raise StepCycle(tuple(reversed(error.args[1]))) from None
    result: list[Step] = []
    while sorter.is_active():
        for identifier in sorted(sorter.get_ready(), key=rank.__getitem__):
            step = by_id[identifier]
            result.append(replace(step, after=tuple(a for a in dict.fromkeys(step.after) if a in by_id)))
            sorter.done(identifier)
    return tuple(result)


def held_back(steps: Iterable[Step], forbidden: Callable[[Step], bool]) -> frozenset[str]:
    """Ids of the steps that are forbidden or that must follow one that is."""
    held: set[str] = set()
    remaining = list(steps)
    while True:
        more = {s.id for s in remaining if s.id not in held and (forbidden(s) or held.intersection(s.after))}
        if not more:
            return frozenset(held)
        held |= more
