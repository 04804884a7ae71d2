"""What one commit changes in the desired state, without any host."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.drift import Value
from reconciler.model.site import Disruption


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
    """A frame of a guest's interface whose verdict is another one after the change; `opens` when it passes then."""

    guest: str
    mac: str
    case: str
    before: str
    after: str

    @property
    def opens(self) -> bool:
        return self.after == "pass"
