"""Calls that may never return, under a deadline.

A libvirt call cannot be cancelled. It runs in a thread of its own; when the deadline passes the thread is left
behind, and nothing more is asked of it: the outcome of the call is unknown, so no later write may follow.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import cycle
from typing import Any, Generic, TypeVar, cast

from reconciler.errors import HostTimeout

T = TypeVar("T")
U = TypeVar("U")

ANSWER_SECONDS = 30.0
"""In which libvirt answers a question."""

BATCH = 25
"""Objects that one job reads: a hand-over for each would cost more than the call."""

BATCH_SECONDS = ANSWER_SECONDS + BATCH

PROGRAMS_SECONDS = 300.0
"""More than the deadlines of all programs together that print a kernel's rules."""


class Job(Generic[T]):
    """A call that was begun, and when it is `done` what it gave, or its exception."""

    def __init__(self, what: str, function: Callable[[], T], worker: Worker) -> None:
        self.what, self.function, self.worker = what, function, worker
        self.done = threading.Event()
        self.result: T | None = None
        self.error: BaseException | None = None


class Hang:
    """`what` is the call that did not return, empty while all did."""

    def __init__(self) -> None:
        self.what = ""


class Worker:
    """Runs calls one after another. Workers that share a `hang` are asked nothing more after a call of any of them."""

    def __init__(self, hang: Hang | None = None) -> None:
        self._jobs: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._hang = hang or Hang()
        threading.Thread(target=self._serve, daemon=True, name="libvirt").start()

    def call(self, what: str, function: Callable[[], T], seconds: float) -> T:
        """The function's result, or its exception. `what` names the call in the error of a missed deadline."""
        return self.end(self.begin(what, function), seconds)

    def begin(self, what: str, function: Callable[[], T]) -> Job[T]:
        self._refuse_behind_a_hang(what)
        job = Job(what, function, self)
        self._jobs.put(job)
        return job

    def end(self, job: Job[T], seconds: float) -> T:
        """What a call that was begun gave, or its exception."""
        if not job.done.is_set():
            self._refuse_behind_a_hang(job.what)
        if not job.done.wait(seconds):
            self._hang.what = job.what
            raise HostTimeout(
                f"libvirt did not answer within {seconds:.0f} s when asked to {job.what}; whether it was done is "
                "unknown",
                hint="nothing was written after it; look at libvirtd, then run the command again: it looks anew",
            )
        if job.error is not None:
            raise job.error
        return cast(T, job.result)

    def _refuse_behind_a_hang(self, what: str) -> None:
        if self._hang.what:
            raise HostTimeout(f"libvirt was not asked to {what}: it still has not answered `{self._hang.what}`")

    def close(self) -> None:
        self._jobs.put(None)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job.result = job.function()
            except BaseException as error:  # the caller's thread raises it
                job.error = error
            job.done.set()


def begin_all(
    workers: Iterable[Worker], objects: Sequence[T], what: str, read: Callable[[Sequence[T]], tuple[U, ...]]
) -> list[Job[tuple[U, ...]]]:
    """One job for each `BATCH` objects, a worker after the other."""
    batches = (objects[first : first + BATCH] for first in range(0, len(objects), BATCH))
    return [
        worker.begin(f"read {len(batch)} {what}", partial(read, batch))
        for worker, batch in zip(cycle(workers), batches, strict=False)
    ]


def end_all(jobs: Iterable[Job[tuple[U, ...]]]) -> Iterator[U]:
    """What one job gave can be looked at while the next one is waited for."""
    return (found for job in jobs for found in job.worker.end(job, BATCH_SECONDS))
