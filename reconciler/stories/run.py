"""A timer's run, unattended: fetch, load, inspect, diff, plan, apply, verify, and an answer whatever happens."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from threading import Thread

from reconciler import app
from reconciler.errors import HostBusy, ReconcilerError, SiteError, UsageError
from reconciler.model.disruption import Disruption
from reconciler.model.plan import Step, WaitReason
from reconciler.model.report import Outcome, Report
from reconciler.records.commits import read_applied
from reconciler.settings import Settings
from reconciler.stories.following import InForce, following, in_force
from reconciler.stories.holding import suspended_targets, with_holds
from reconciler.stories.reading import read_site
from reconciler.stories.settled import remember_settled, settled_before


def run(settings: Settings, notify: app.Notify, allow: Disruption | None = None) -> Report:
    """Bring the host to the newest commit that may be, or keep it at the last one. What goes wrong is in the report.

    Raises `UsageError` for a configuration that cannot be used: then nobody can be told; `HostBusy` when another
    reconciler is at work, which tells of it itself.
    """
    begun = _Beginning(settings, "run")
    events: list[tuple[str, str]] = []

    def noted(event: str, step: Step) -> None:
        events.append((event, step.id))
        notify(event, step)

    try:
        held = begun.hold()
        done = app.apply(begun.settings, noted, allow)
    except (UsageError, HostBusy):
        raise
    except ReconcilerError as error:
        return begun.failed(error, events)
    outcome = Outcome.IN_SYNC if done.execution is None else Outcome.APPLIED
    trouble: ReconcilerError | None = held.trouble if held else None
    if done.execution is not None and done.execution.error is not None:
        outcome, trouble = Outcome.FAILED, done.execution.error
    elif held is not None and held.refused:
        outcome = Outcome.REFUSED
    elif done.plan.waiting:
        is_suspended = all(each.why is WaitReason.SUSPENDED for each in done.plan.waiting)
        outcome = Outcome.SUSPENDED if is_suspended else Outcome.WAITING
    return begun.report(
        outcome,
        done.plan.host,
        found=done.found,
        drift=done.drift,
        plan=done.plan,
        execution=done.execution,
        proofs=done.proofs,
        trouble=trouble,
        events=tuple(events),
        held=done.held,
    )


def report(settings: Settings) -> Report:
    """Only look: the drift from the commit in force, and what it proves. Nothing is changed."""
    begun = _Beginning(settings, "report")
    try:
        held = begun.hold()
        seen = _looked(begun.settings)
    except (UsageError, HostBusy):
        raise
    except ReconcilerError as error:
        return begun.failed(error, [])
    outcome = Outcome.DRIFT if any(drift.counts for drift in seen.drift) else Outcome.IN_SYNC
    if held is not None and held.refused:
        outcome = Outcome.REFUSED
    return begun.report(
        outcome,
        seen.plan.host,
        found=seen.drift,
        drift=seen.drift,
        plan=seen.plan,
        proofs=seen.proofs,
        trouble=held.trouble if held else None,
        held=seen.held,
    )


def _looked(settings: Settings) -> app.Application:
    """What an apply would find, without any of it done."""
    site = None if settings.commit else read_site(settings)
    before = settled_before(settings, site)
    if before is not None:
        return before
    desired = app.load_site(settings, site)
    name = app.host_name(settings, desired)
    seen = with_holds(settings, app.survey(desired, app.open_host(settings), name))
    found = app.Application(app.plan_of(seen), None, seen.drift, app.proofs_of(seen), held=app.held_by(seen.live))
    remember_settled(settings, site, seen, found)
    return found


class _Beginning:
    """What is known of a run from its start: its settings, pinned to the commit in force once there is one."""

    def __init__(self, settings: Settings, verb: str) -> None:
        self.settings = settings
        self._verb = verb
        self._started = datetime.now(UTC)
        self._clock = time.monotonic()
        self._held: InForce | None = None

    def hold(self) -> InForce | None:
        """Choose the commit; a site in a folder has none."""
        if self.settings.repository is not None:
            Thread(target=_import_what_comes_next, daemon=True).start()
            self._held = in_force(self.settings)
            self.settings = self.settings._replace(commit=self._held.commit)
        return self._held

    def failed(self, error: ReconcilerError, events: list[tuple[str, str]]) -> Report:
        problems = error.problems if isinstance(error, SiteError) else ()
        outcome = Outcome.INVALID if problems else Outcome.FAILED
        host = _own_name(self.settings)
        return self.report(outcome, host, problems=problems, trouble=error, events=tuple(events))

    def report(self, outcome: Outcome, host: str, **more: object) -> Report:
        settings = self.settings
        return replace(
            Report(
                verb=self._verb,
                host=host,
                outcome=outcome,
                commit=settings.commit if settings.repository else str(settings.site),
                followed=following(settings).called if settings.repository else "",
                started=self._started,
                seconds=time.monotonic() - self._clock,
                stale_since=self._held.stale_since if self._held else None,
                suspended=suspended_targets(settings),
            ),
            **more,  # type: ignore[arg-type]
        )


def _own_name(settings: Settings) -> str:
    """As the site called this host when it was last applied: its reports are all to be found in one place."""
    if settings.host is None and settings.repository is not None:
        with suppress(ReconcilerError):
            commit = read_applied(settings.var).commit
            if commit is not None:
                return app.host_name(settings, app.load_site(settings._replace(commit=commit)))
    return settings.host or socket.gethostname().split(".")[0]


def _import_what_comes_next() -> None:
    """While git waits for the network, and not after it: what it takes to see that nothing is to be done."""
    import reconciler.host.glance
    import reconciler.host.reading
    import reconciler.host.session
    import reconciler.stories.settled  # noqa: F401


def exit_code(told: Report) -> int:
    """As `apply`: 0, 1 for an error or a refused commit, 3 when something waits."""
    if told.outcome is Outcome.WAITING:
        return 3
    if told.good or told.outcome is Outcome.SUSPENDED:
        return 0
    return 1
