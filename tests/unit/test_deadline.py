"""Calls that may never return: begun in a thread, waited for no longer than said, and nothing asked after one hangs."""

from __future__ import annotations

import threading

import pytest

from reconciler.errors import HostTimeout
from reconciler.host.deadline import Hang, Worker


def test_what_was_begun_is_done_while_its_caller_does_something_else() -> None:
    worker, done = Worker(), threading.Event()
    first, second = worker.begin("read one", lambda: 1), worker.begin("read two", lambda: done.set() or 2)
    assert done.wait(30)
    assert (worker.end(second, 30), worker.end(first, 30)) == (2, 1)
    worker.close()


def test_an_error_is_raised_where_the_result_is_asked_for() -> None:
    worker = Worker()
    job = worker.begin("divide", lambda: 1 // 0)
    assert worker.call("read", lambda: 7, 30) == 7
    with pytest.raises(ZeroDivisionError):
        worker.end(job, 30)
    worker.close()


def test_after_a_call_that_hangs_nothing_more_is_asked() -> None:
    worker, released = Worker(), threading.Event()
    asked: list[str] = []
    hanging = worker.begin("define a filter", lambda: released.wait(60))
    behind = worker.begin("read a guest", lambda: asked.append("guest"))
    with pytest.raises(HostTimeout, match="asked to define a filter; whether it was done is unknown"):
        worker.end(hanging, 0.05)
    with pytest.raises(HostTimeout, match="still has not answered `define a filter`"):
        worker.begin("start a guest", lambda: asked.append("start"))
    with pytest.raises(HostTimeout, match="still has not answered `define a filter`"):
        worker.end(behind, 0.05)
    released.set()
    worker.close()
    assert "start" not in asked


def test_after_a_call_that_hangs_nobody_else_of_its_connection_is_asked_either() -> None:
    hang, released = Hang(), threading.Event()
    one, other = Worker(hang), Worker(hang)
    with pytest.raises(HostTimeout, match="asked to read a guest"):
        other.call("read a guest", lambda: released.wait(60), 0.05)
    with pytest.raises(HostTimeout, match="still has not answered `read a guest`"):
        one.begin("define a filter", lambda: None)
    released.set()
    one.close()
    other.close()
