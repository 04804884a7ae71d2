"""How a host is, in a few lines: which commit, how old, what differs, what waits, what is suspended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from reconciler.model.drift import Drift
from reconciler.model.plan import Plan
from reconciler.records.commits import Applied, read_applied
from reconciler.records.suspensions import Suspension, read_suspensions
from reconciler.settings import Settings
from reconciler.stories.following import last_asked

if TYPE_CHECKING:
    from reconciler.app import Survey


@dataclass(frozen=True, slots=True)
class HostHealth:
    """`asked` is when the repository last answered with a commit that passed every check; None if it never did."""

    host: str
    commit: str
    applied: Applied
    asked: datetime | None
    drift: tuple[Drift, ...]
    plan: Plan
    suspensions: tuple[Suspension, ...]


def health(settings: Settings, seen: Survey) -> HostHealth:
    from reconciler.app import plan_of

    applied = read_applied(settings.var)
    asked = last_asked(settings)
    suspensions = read_suspensions(settings.var)
    return HostHealth(seen.host, seen.desired.source, applied, asked, seen.drift, plan_of(seen), suspensions)


def health_lines(found: HostHealth, now: datetime) -> tuple[str, ...]:
    """What a person wants to know before the table of interfaces."""
    is_applied = found.applied.commit == found.commit
    applied = f", applied since {found.applied.time}" if is_applied else ", not applied yet"
    lines = [f"{found.host}: {found.commit[:12]}{applied if found.applied.commits else ''}"]
    if found.asked is not None:
        lines.append(f"the repository answered {_age(now - found.asked)} ago")
    plan = found.plan
    counts = (
        (sum(each.counts for each in found.drift), "difference"),
        (len(plan.steps), "step"),
        (len(plan.waiting), "waiting step"),
    )
    told = ", ".join(f"{number} {word}{'' if number == 1 else 's'}" for number, word in counts if number)
    lines.append(told or "nothing differs, nothing waits")
    for each in found.suspensions:
        lines.append(f"suspended: {each.target} until {each.until:%Y-%m-%d %H:%M} UTC: {each.reason}")
    return tuple(lines)


def _age(span: timedelta) -> str:
    return str(span).partition(".")[0]
