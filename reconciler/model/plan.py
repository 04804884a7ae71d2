"""A plan: frozen steps, each with its reason, cost, disruption and revert. Data only; `execute` acts on it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.model.disruption import Disruption

if TYPE_CHECKING:
    from reconciler.model.actions import Action


@dataclass(frozen=True, slots=True)
class Step:
    """One action with what it costs. `after` names steps that must be done before it; `seconds` is an estimate."""

    id: str
    action: Action
    reason: str
    disruption: Disruption = Disruption.NONE
    rebuilds: int = 0
    seconds: float = 0.0
    after: tuple[str, ...] = ()

    @property
    def revert(self) -> str:
        """How it is taken back. What its description would only say again is said as what it brings back."""
        from reconciler.model.actions import (
            ChangeLiveFilterref,
            DefineFilter,
            DefineGuest,
            RestartDaemon,
            RewriteSave,
            SetSupplement,
            ShutDownGuest,
            UndefineFilter,
        )
        from reconciler.model.filter import FilterRef

        match self.action:
            case DefineFilter(name=name, previous_xml=str()):
                return f"put filter {name} back as it was"
            case UndefineFilter(name=name):
                return f"define filter {name} again"
            case DefineGuest(guest=guest):
                return f"put {guest}'s persistent definition back as it was"
            case ChangeLiveFilterref(guest=guest, port=port, previous=FilterRef(), bridge=None):
                return f"put the filter of {guest}'s port {port} back as it was, closed meanwhile"
            case RewriteSave(guest=guest):
                return f"put the definition in {guest}'s managed-save image back as it was"
            case RestartDaemon():
                return "write the old files back, and restart the daemon again"
            case ShutDownGuest(guest=guest):
                return f"start guest {guest} again"
            case SetSupplement():
                return "put the rules of nft beside libvirt's back as they were"
            case action:
                inverse = action.inverse()
                return inverse.describe() if inverse else "none needed"


class WaitReason(StrEnum):
    POLICY = "policy"
    UNSUPPORTED = "unsupported"
    BUSY = "busy"
    SUSPENDED = "suspended"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A difference that this plan leaves: policy forbids its step, this version cannot make it,
    it is suspended, or another host has to release an address first."""

    target: str
    what: str
    why: WaitReason
    hint: str = ""
    disruption: Disruption = Disruption.NONE


@dataclass(frozen=True, slots=True)
class Way:
    """One of several ways to the same filters and its cost. `chosen` is the plan's; `why` says why, or why not.

    One that is not `possible` has no cost.
    """

    name: str
    rebuilds: int
    seconds: float
    disruption: Disruption
    chosen: bool
    why: str
    possible: bool = True


class Costed:
    """What steps cost together."""

    __slots__ = ()
    steps: tuple[Step, ...]

    @property
    def rebuilds(self) -> int:
        return sum(step.rebuilds for step in self.steps)

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)

    @property
    def disruption(self) -> Disruption:
        return max((step.disruption for step in self.steps), default=Disruption.NONE)


@dataclass(frozen=True, slots=True)
class Plan(Costed):
    """Ordered steps for one host and one commit. `digest` changes with anything that the steps would do.

    `ways` are those that were compared, where there was more than one.
    """

    source: str
    host: str
    steps: tuple[Step, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    notes: tuple[str, ...] = ()
    digest: str = ""
    ways: tuple[Way, ...] = ()
