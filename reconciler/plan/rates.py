"""What things cost on a host, in seconds, where it has recorded none of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from reconciler.model.actions import RestartDaemon, ShutDownGuest, StartGuest
from reconciler.model.plan import Step

REBUILD_SECONDS = 1.8
WRITE_SECONDS = 0.01
RESTART_SECONDS = 2.0
SHUTDOWN_SECONDS = 10.0
START_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Rates:
    """Seconds for one binding's rebuild, a definition that rebuilds nothing, and so on."""

    rebuild: float = REBUILD_SECONDS
    write: float = WRITE_SECONDS
    restart: float = RESTART_SECONDS
    shutdown: float = SHUTDOWN_SECONDS
    start: float = START_SECONDS


def rates_of(timings: Mapping[str, float]) -> Rates:
    """What this host has measured, and what is usual for the rest."""
    return Rates(**{each.name: timings[each.name] for each in fields(Rates) if each.name in timings})


def measured(done: Iterable[Step], seconds: Mapping[str, float]) -> dict[str, float]:
    """What one run's steps say of the rates: of several steps of a kind the mean."""
    found: dict[str, list[float]] = {}
    for step in done:
        if step.id not in seconds:
            continue
        taken = seconds[step.id]
        match step.action:
            case ShutDownGuest():
                found.setdefault("shutdown", []).append(taken)
            case StartGuest():
                found.setdefault("start", []).append(taken)
            case RestartDaemon():
                found.setdefault("restart", []).append(taken)
            case _ if step.rebuilds:
                found.setdefault("rebuild", []).append(taken / step.rebuilds)
    return {name: sum(values) / len(values) for name, values in found.items()}
