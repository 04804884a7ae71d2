"""What one commit changes in the desired state, without any host."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.disruption import Disruption
from reconciler.model.drift import Value


@dataclass(frozen=True, slots=True)
class Change:
    """One field of one object of the site. `disruption` is the least that a host with running guests will see."""

    object: str
    field: str
    before: Value
    after: Value
    disruption: Disruption


@dataclass(frozen=True, slots=True)
class VerdictChange:
    """A frame of a guest's interface whose verdict is another one after the change; `opens` when it passes then.

    `sender` is the address that the frame claims to be from, a MAC where it has no other.
    """

    guest: str
    mac: str
    sender: str
    case: str
    before: str
    after: str

    @property
    def opens(self) -> bool:
        return self.after == "pass"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a change of the site would change, without a host. `widening_reason` is what its commits say about it.

    With `base_problems` there is no desired state to compare with, and nothing is known of changes.
    """

    changes: tuple[Change, ...] = ()
    verdicts: tuple[VerdictChange, ...] = ()
    widening_reason: str = ""
    base_problems: int = 0

    @property
    def opens(self) -> bool:
        return any(verdict.opens for verdict in self.verdicts)
