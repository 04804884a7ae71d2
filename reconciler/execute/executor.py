"""Run a plan's steps one after another; on a surprise or a failure, take back what was done."""

from __future__ import annotations

from collections.abc import Callable

from reconciler.errors import HostTimeout, ReconcilerError
from reconciler.execute.journal import Journal
from reconciler.execute.ports import PortStaysClosed
from reconciler.execute.steps import check, is_done, perform
from reconciler.host.protocol import Host
from reconciler.model.outcome import Execution
from reconciler.model.plan import Plan, Step

Notify = Callable[[str, Step], None]
Prove = Callable[[], ReconcilerError | None]


def execute(plan: Plan, host: Host, journal: Journal, notify: Notify, prove: Prove) -> Execution:
    """Take every step; when all are done ask `prove`, which gives the reason why the result does not hold.

    A missed deadline stops everything where it is: the outcome of the call is unknown, so nothing is reverted.
    """
    done: list[Step] = []
    failed: Step | None = None
    try:
        for step in plan.steps:
            failed = step
            _take(step, host, journal, notify)
            done.append(step)
        failed = None
        error = prove()
    except HostTimeout as timeout:
        journal.write("unknown", id=failed.id if failed else None, error=str(timeout))
        return Execution(journal.run, tuple(done), failed, timeout)
    except ReconcilerError as caught:
        error = caught
    if error is None:
        journal.write("end", outcome="applied")
        return Execution(journal.run, tuple(done))
    journal.write("failed", id=failed.id if failed else None, error=str(error))
    return _revert(plan, host, journal, notify, done, failed, error)


def _take(step: Step, host: Host, journal: Journal, notify: Notify) -> None:
    check(step.action, host)
    journal.intend(step)
    notify("start", step)
    perform(step.action, host)
    journal.write("done", id=step.id)
    notify("done", step)


def _revert(
    plan: Plan,
    host: Host,
    journal: Journal,
    notify: Notify,
    done: list[Step],
    failed: Step | None,
    error: ReconcilerError,
) -> Execution:
    reverted: list[Step] = []
    unreverted: list[tuple[Step, ReconcilerError]] = []
    if failed is not None and _was_done(failed, host):
        done = [*done, failed]
    for step in reversed(done):
        inverse = step.action.inverse()
        if inverse is None:
            continue
        notify("revert", step)
        try:
            journal.write("revert", id=step.id)
            check(inverse, host)
            perform(inverse, host)
            reverted.append(step)
        except ReconcilerError as second:
            unreverted.append((step, second))
            if isinstance(second, HostTimeout):
                break
    clean = not unreverted and not isinstance(error, PortStaysClosed)
    if clean:
        journal.write("end", outcome="reverted")
    return Execution(journal.run, (), failed, error, tuple(reverted), tuple(unreverted))


def _was_done(step: Step, host: Host) -> bool:
    try:
        return is_done(step.action, host)
    except ReconcilerError:
        return False
