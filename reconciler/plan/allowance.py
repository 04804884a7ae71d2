"""How much a run may interrupt now: by the policy, by its windows, and by what the operator allows."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from reconciler.model.disruption import Disruption
from reconciler.model.site import Policy, Window

_DAY = 24 * 60


def allowed_disruption(policy: Policy, now: datetime | None, allow: Disruption | None) -> Disruption:
    """The most of all that allow something; `now` is a moment with a zone, None where no window counts."""
    open_windows = (window.allow for window in policy.windows if now is not None and is_open(window, now))
    return max(policy.disruption, allow or Disruption.NONE, *open_windows)


def is_open(window: Window, now: datetime) -> bool:
    """Whether a moment is in a window, by the wall clock of its zone.

    When clocks are put forward, hours that do not exist are in no window; when they are put back, an hour that comes
    twice is in it twice.
    """
    local = now.astimezone(ZoneInfo(window.zone))
    minute = local.hour * 60 + local.minute
    yesterday = (local.date() - timedelta(days=1)).weekday()
    if window.begin < window.end:
        return local.weekday() in window.days and window.begin <= minute < window.end
    began_today = local.weekday() in window.days and minute >= window.begin
    return began_today or (yesterday in window.days and minute < window.end)


def waiting_window(policy: Policy, needed: Disruption) -> str:
    """A hint at the window that a step of a class waits for."""
    found = next((window for window in policy.windows if window.allow >= needed), None)
    if found is None:
        return ""
    days = ", ".join(_NAMES[day] for day in sorted(found.days)) if len(found.days) < len(_NAMES) else "every day"
    return f"{days} {_clock(found.begin)}-{_clock(found.end)} {found.zone}"


_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _clock(minutes: int) -> str:
    hours, rest = divmod(minutes % _DAY or minutes, 60)
    return f"{hours:02}:{rest:02}"
