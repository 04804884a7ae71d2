"""The heart of an apply: plan, steps and proof, again as long as what waited can be done now."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from reconciler import app
from reconciler.app import Survey
from reconciler.errors import HostError, ReconcilerError
from reconciler.execute.executor import execute
from reconciler.execute.journal import Journal, close_run
from reconciler.host.protocol import Host
from reconciler.model.actions import DefineFilter, StartGuest, VerifyPort
from reconciler.model.disruption import Disruption
from reconciler.model.live import Live
from reconciler.model.outcome import Execution
from reconciler.model.plan import Plan, Step
from reconciler.nwfilter.parse import parse_filter
from reconciler.plan.rates import measured
from reconciler.records.timings import learn_timings
from reconciler.settings import Settings
from reconciler.stories.confirming import Confirmation

MOST_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who hears of each step, what more than the policy is allowed, and whether it is a plan that somebody approved.

    What an approved plan makes possible was not approved, so it has one round.
    """

    notify: Callable[[str, Step], None] = lambda _event, _step: None
    allow: Disruption | None = None
    approved: bool = False


def apply_in_rounds(
    settings: Settings, host: Host, seen: Survey, plan: Plan, wanted: Wanted
) -> tuple[Plan, Execution | None, Survey]:
    """What waited for something that a round has brought about is done in the next one, each proven by itself.

    The plan with the steps of all rounds and what waits in the end; how the last round ended, with all that was done
    (None when there was nothing to do); and the last look at the host. Ended well, it closes what earlier runs left
    open.
    """
    whole, execution = plan, None
    for number in range(1 if wanted.approved else MOST_ROUNDS):
        if not plan.steps:
            break
        before = execution.done if execution else ()
        execution, proven = _execute(settings, host, seen, plan, wanted)
        execution = replace(execution, done=(*before, *execution.done))
        _learn(settings, execution)
        steps = (*whole.steps, *plan.steps) if number else plan.steps
        if not execution.ok or proven is None:
            return replace(whole, steps=steps), execution, _look_after_failure(settings, host, seen, execution)
        seen, plan = proven
        whole = replace(whole, steps=steps, waiting=plan.waiting)
    if execution and plan.steps and not wanted.approved:
        error = _still_to_do(plan.steps[0], f"{MOST_ROUNDS} rounds were done and stand")
        return whole, replace(execution, error=error), seen
    _close_interrupted_runs(settings, whole)
    return whole, execution, seen


def _execute(
    settings: Settings, host: Host, seen: Survey, plan: Plan, wanted: Wanted
) -> tuple[Execution, tuple[Survey, Plan] | None]:
    """How it ended, and the look at the host that proved it, with what there is to do then."""
    confirmation = Confirmation(settings, host, plan, seen)
    proven: tuple[Survey, Plan] | None = None

    def prove() -> ReconcilerError | None:
        nonlocal proven
        now = _look_again(settings, host, seen)
        again = app.plan_of(now, wanted.allow)
        proven = now, again
        left = _not_brought_about(plan, again, now.live)
        return _still_to_do(left[0], "all steps were taken back") if left else confirmation.broken()

    with Journal(settings.var / "journal", plan) as journal:
        return execute(plan, host, journal, wanted.notify, prove), proven


def _not_brought_about(plan: Plan, again: Plan, live: Live) -> list[Step]:
    """Steps on what this round was to settle; what it made possible is the next one's.

    A guest that it started has a new port, on which there may be other work than what was done. A guard that it defined
    may be the first one that gets filters whose change had to wait, and be proven then.
    """
    waited = {(each.target, each.what) for each in plan.waiting}
    started = {step.action.target for step in plan.steps if isinstance(step.action, StartGuest)}
    settled = {step.action.target for step in plan.steps} - started
    defined = _defined(plan, live) if again.steps else set()
    kinds = {(step.action.target, step.action.kind) for step in plan.steps}
    return [
        step
        for step in again.steps
        if (step.action.target in settled or (step.action.target, step.action.kind) in kinds)
        and (step.action.target, step.action.describe()) not in waited
        and not isinstance(step.action, VerifyPort)
        and not (isinstance(step.action, DefineFilter) and step.action.name in defined)
    ]


def _defined(plan: Plan, live: Live) -> set[str]:
    """Filters that libvirt holds as the last step on each of them says."""
    wanted = {step.action.name: step.action.xml for step in plan.steps if isinstance(step.action, DefineFilter)}
    held = ((name, xml, live.filter(name)) for name, xml in wanted.items())
    return {name for name, xml, found in held if found and parse_filter(xml.encode()) == found.definition}


def _still_to_do(step: Step, done: str) -> HostError:
    return HostError(
        f"after all steps there is still something to do: {step.action.describe()}, because {step.reason}",
        hint=f"{done}; the journal holds what was done",
    )


def _look_again(settings: Settings, host: Host, seen: Survey) -> Survey:
    return replace(app.survey(seen.desired, host, seen.host, app.remembered(settings)), holds=seen.holds)


def _look_after_failure(settings: Settings, host: Host, seen: Survey, execution: Execution) -> Survey:
    """Where the host does not answer any more either, the error has to say what was done: nothing else will."""
    try:
        return _look_again(settings, host, seen)
    except ReconcilerError as second:
        raise type(second)(
            f"{_account(execution)}; the host cannot be looked at either: {second.message}",
            hint=second.hint or "see that libvirtd runs, then apply again: it looks anew and finishes the work",
        ) from second


def _account(execution: Execution) -> str:
    said = {
        "done": [step.id for step in execution.done],
        "taken back": [step.id for step in execution.reverted],
        "NOT taken back": [step.id for step, _ in execution.unreverted],
    }
    parts = (f"{what}: {', '.join(ids)}" for what, ids in said.items() if ids)
    reason = execution.error.message if execution.error else "it did not end well"
    return "; ".join((f"run {execution.run} failed: {reason}", *parts))


def _learn(settings: Settings, execution: Execution) -> None:
    with suppress(HostError):  # an estimate is not worth a failed run
        learn_timings(settings.var, measured(execution.done, execution.timings))


def _close_interrupted_runs(settings: Settings, plan: Plan) -> None:
    """Not those that owe a start which still waits."""
    waiting = {each.target for each in plan.waiting}
    for run in app.interrupted_runs(settings):
        if waiting.isdisjoint(f"guest/{guest}" for guest in run.owed()):
            close_run(settings.var / "journal", run.name, "converged by a later run")
