"""Run a plan's steps one after another; on a surprise or a failure, take back what was done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from reconciler.errors import HostError, HostTimeout, ReconcilerError
from reconciler.execute.journal import Journal
from reconciler.execute.ports import PortStaysClosed
from reconciler.execute.steps import check, is_done, perform, surprise
from reconciler.host.protocol import Host
from reconciler.model.outcome import Execution
from reconciler.model.plan import Plan, Step

Notify = Callable[[str, Step], None]
Prove = Callable[[], ReconcilerError | None]
Timings = dict[str, float]


def execute(plan: Plan, host: Host, journal: Journal, notify: Notify, prove: Prove) -> Execution:
    """Take every step; when all are done ask `prove`, which gives the reason why the result does not hold.

    What nobody foresaw is taken back like any other failure. A missed deadline stops everything where it is: the
    outcome of the call is unknown, so nothing is reverted.
    """
    done: list[Step] = []
    timings: Timings = {}
    failed: Step | None = None
    try:
        for step in plan.steps:
            failed = step
            timings[step.id] = _take(step, host, journal, notify)
            done.append(step)
        failed = None
        error = prove()
    except HostTimeout as timeout:
        journal.try_write("unknown", id=failed.id if failed else None, error=str(timeout))
        return Execution(journal.run, tuple(done), failed, timeout, timings=timings)
    except ReconcilerError as caught:
        error = caught
    except AssertionError:  # what is held to be true of the host is not: nothing more is written
        raise
    except Exception as fault:
        error = HostError(f"the reconciler itself has a fault: {type(fault).__name__}: {fault}")
        error.__cause__ = fault
    if error is None:
        journal.try_write("end", outcome="applied")
        return Execution(journal.run, tuple(done), timings=timings)
    journal.try_write("failed", id=failed.id if failed else None, error=str(error))
    return _revert(host, journal, notify, done, failed, error)


def _take(step: Step, host: Host, journal: Journal, notify: Notify) -> float:
    """How many seconds it took."""
    check(step.action, host)
    journal.intend(step)
    notify("start", step)
    began = time.monotonic()
    perform(step.action, host)
    seconds = time.monotonic() - began
    journal.write("done", id=step.id, seconds=round(seconds, 3))
    notify("done", step)
    return seconds


def _revert(
    host: Host, journal: Journal, notify: Notify, done: list[Step], failed: Step | None, error: ReconcilerError
) -> Execution:
    if failed is not None and failed not in done and _was_done(failed, host):
        done = [*done, failed]
    reverted: list[Step] = []
    unreverted: list[tuple[Step, ReconcilerError]] = []
    for step in reversed(done):
        try:
            if _take_back(step, host, journal, notify):
                reverted.append(step)
        except ReconcilerError as second:
            unreverted.append((step, second))
            if isinstance(second, HostTimeout):
                break
    if not unreverted:
        unreverted.extend(_not_as_before(reverted, host))
    clean = not unreverted and not isinstance(error, PortStaysClosed)
    if clean:
        journal.try_write("end", outcome="reverted")
    return Execution(journal.run, (), failed, error, tuple(reverted), tuple(unreverted))


def _take_back(step: Step, host: Host, journal: Journal, notify: Notify) -> bool:
    """Whether there was anything to take back. What we stopped is started even when no line can be written."""
    inverse = step.action.inverse()
    if inverse is None:
        return False
    notify("revert", step)
    journal.try_write("revert", id=step.id)
    check(inverse, host)
    perform(inverse, host)
    journal.try_write("reverted", id=step.id)
    return True


def _not_as_before(reverted: Iterable[Step], host: Host) -> Iterable[tuple[Step, ReconcilerError]]:
    """The revert is read back too: each object must be what the first of its steps had found."""
    first = {(step.action.target, step.action.kind, getattr(step.action, "mac", "")): step for step in reverted}
    for step in first.values():
        try:
            why = surprise(step.action, host)
        except ReconcilerError as error:
            yield step, error
            continue
        if why:
            yield step, HostError(f"{step.action.target} was taken back, and still differs ({why})")


def _was_done(step: Step, host: Host) -> bool:
    with suppress(ReconcilerError):
        return is_done(step.action, host)
    return False
