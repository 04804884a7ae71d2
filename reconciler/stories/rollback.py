"""Back to how a recorded run had left the host (promise P6)."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler import app
from reconciler.errors import HostError, ReconcilerError, UsageError
from reconciler.execute.executor import execute
from reconciler.execute.journal import Journal, close_run
from reconciler.execute.lock import exclusive
from reconciler.execute.runs import Run, read_runs, runs_after, undoing
from reconciler.execute.steps import surprise
from reconciler.host.protocol import Host
from reconciler.model.actions import Action
from reconciler.model.outcome import Execution
from reconciler.model.plan import Plan, Step
from reconciler.settings import Settings
from reconciler.stories.admitting import forget_admission

_REASON = "it takes back what a later run did"


def history(settings: Settings) -> tuple[Run, ...]:
    """All runs that the journal still has, the newest first."""
    return tuple(reversed(read_runs(settings.var / "journal")))


def rollback(settings: Settings, name: str, notify: app.Notify, *, itself: bool) -> Execution | None:
    """Take back every run later than one, the newest first; with `itself` that one too. None when nothing is to do.

    A step is taken back only where its object is as the step left it: else `StaleError`, and all is put back.
    Raises `UsageError` for a run that is not there.
    """
    folder = settings.var / "journal"
    with exclusive(settings.var):
        runs = runs_after(folder, name, itself=itself)
        if not runs:
            raise UsageError(f"{name} is the last run: there is nothing later to take back; nothing was done")
        host = app.open_host(settings)
        steps = tuple(_steps(undoing(runs), host))
        if not steps:
            return None
        plan = Plan(f"rollback to {name}", settings.host or "", steps)
        forget_admission(settings)
        with Journal(folder, plan) as journal:
            done = execute(plan, host, journal, notify, lambda: _left(steps, host))
        for run in runs if done.ok else ():
            if run.is_open:
                close_run(folder, run.name, f"taken back by {done.run}")
        return done


def _steps(actions: Iterable[tuple[str, Action]], host: Host) -> Iterable[Step]:
    """In order; what an interrupted run did not get to is no step."""
    previous: tuple[str, ...] = ()
    for number, (id, action) in enumerate(actions, 1):
        inverse = action.inverse()
        begun_only = inverse is not None and surprise(action, host) and not surprise(inverse, host)
        if number == 1 and begun_only:
            continue
        step = Step(f"{number}:{id}", action, _REASON, after=previous)
        yield step
        previous = (step.id,)


def _left(steps: tuple[Step, ...], host: Host) -> ReconcilerError | None:
    """The last word on each object must hold in the end."""
    last = {(step.action.target, step.action.kind, getattr(step.action, "mac", "")): step for step in steps}
    for step in last.values():
        inverse = step.action.inverse()
        why = surprise(inverse, host) if inverse else ""
        if why:
            return HostError(f"{step.action.target} was taken back, and still differs ({why})")
    return None
