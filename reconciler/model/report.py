"""What a run tells: one report for every reader, from a journal to a forge."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.errors import ReconcilerError
    from reconciler.model.drift import Drift
    from reconciler.model.outcome import Execution, InterfaceProof
    from reconciler.model.plan import Plan
    from reconciler.model.problem import Problem


class Outcome(StrEnum):
    """How a run ended, from best to worst."""

    IN_SYNC = "in-sync"
    APPLIED = "applied"
    WAITING = "waiting"
    DRIFT = "drift"
    SUSPENDED = "suspended"
    REFUSED = "refused"
    INVALID = "invalid"
    FAILED = "failed"


GOOD = frozenset({Outcome.IN_SYNC, Outcome.APPLIED})


@dataclass(frozen=True, slots=True)
class Report:
    """One run of one host. `commit` is the commit in force, None where there is none.

    `found` is the drift that the run met, `drift` what is left after it. `stale_since` is when the remote last
    answered, None when it did just now; `trouble` is why the newest commit is not in force, or what went wrong. `held`
    are guests and the networks that they hold on this host by their filters.
    """

    verb: str
    host: str
    outcome: Outcome
    commit: str | None
    followed: str
    started: datetime
    seconds: float = 0.0
    found: tuple[Drift, ...] = ()
    drift: tuple[Drift, ...] = ()
    plan: Plan | None = None
    execution: Execution | None = None
    proofs: tuple[InterfaceProof, ...] = ()
    problems: tuple[Problem, ...] = ()
    stale_since: datetime | None = None
    trouble: ReconcilerError | None = None
    suspended: tuple[str, ...] = ()
    held: tuple[tuple[str, tuple[str, ...]], ...] = ()
    events: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @property
    def good(self) -> bool:
        return self.outcome in GOOD
