"""What was proven, and how a run ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.errors import ReconcilerError
    from reconciler.model.plan import Step
    from reconciler.model.trace import PathStep


@dataclass(frozen=True, slots=True)
class Case:
    """One question about one interface: what had to be, what is, and the rule that decided it.

    `inexpressible` marks a leak that no rule of nwfilter can stop: it is told, and does not make a filter wrong.
    A case that is explained has a `path`, and its `frame` in words where one was judged.
    """

    mac: str
    case: str
    expected: str
    got: str
    rule: str = ""
    inexpressible: bool = False
    frame: str = ""
    path: tuple[PathStep, ...] | None = None

    @property
    def holds(self) -> bool:
        return self.expected == self.got

    @property
    def fails(self) -> bool:
        return not self.holds and not self.inexpressible


class Proof(StrEnum):
    """How much is known of an interface: `enforced` only when every case holds on the kernel's rules."""

    ENFORCED = "enforced"
    PRESENT = "present"
    ABSENT = "absent"
    UNGUARDED = "unguarded"
    NOT_RUNNING = "not-running"


@dataclass(frozen=True, slots=True)
class InterfaceProof:
    """The proof of one interface of one guest; `port` is None while the guest does not run.

    An interface of a managed guest that the site does not mention is `unguarded`, whatever its rules are.
    """

    guest: str
    mac: str
    port: str | None
    cases: tuple[Case, ...] = ()
    managed: bool = True

    @property
    def proof(self) -> Proof:
        if not self.managed:
            return Proof.UNGUARDED
        if self.port is None:
            return Proof.NOT_RUNNING
        if not any(case.fails for case in self.cases):
            return Proof.ENFORCED
        structural = [case for case in self.cases if case.expected == "present"]
        return Proof.PRESENT if all(case.holds for case in structural) else Proof.ABSENT


@dataclass(frozen=True, slots=True)
class Execution:
    """How a plan's execution ended. Only a failed one has `reverted` steps; `unreverted` could not be taken back.

    `timings` are the seconds that each step took, by its id.
    """

    run: str
    done: tuple[Step, ...] = ()
    failed: Step | None = None
    error: ReconcilerError | None = None
    reverted: tuple[Step, ...] = ()
    unreverted: tuple[tuple[Step, ReconcilerError], ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.error is None
