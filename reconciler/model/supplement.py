"""What our own table asks beside libvirt's rules: sets of facts about guests, and rules that look at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from reconciler.model.kernel import KernelRule


class Element(NamedTuple):
    """One fact of a set about the guest's interface with this MAC; `value` is empty where there is no more to say."""

    set: str
    mac: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class FloodLimit:
    """How many frames a second of one kind a guest may send to its neighbours' discovery, and how many at once."""

    rate: int
    burst: int

    def __str__(self) -> str:
        return f"{self.rate} a second, {self.burst} at once"


@dataclass(frozen=True, slots=True)
class Supplement:
    """What the table holds beside the gate.

    `rules` are those of each chain in their order, behind the chain's name; they are the same on every host, and the
    elements, sorted, are all that differs. `others` is what nobody of us put into the table.
    """

    elements: tuple[Element, ...] = ()
    rules: tuple[tuple[str, tuple[KernelRule, ...]], ...] = ()
    others: tuple[str, ...] = ()

    def chain(self, name: str) -> tuple[KernelRule, ...]:
        return dict(self.rules).get(name, ())
