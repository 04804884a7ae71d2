"""Processes by identity: a pid alone may be another process's by now, a pid with its start time cannot."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from reconciler.errors import HostTimeout

PROC = Path("/proc")
GONE = (FileNotFoundError, ProcessLookupError)


@dataclass(frozen=True, slots=True)
class Task:
    """A process of this machine; `started` is field 22 of /proc/PID/stat, in clock ticks since boot."""

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        try:
            state, started = _stat(self.pid)
        except GONE:
            return False
        return started == self.started and state not in "ZX"


def task(pid: int) -> Task:
    """The process that has this pid now; raises `ProcessLookupError` or `FileNotFoundError`."""
    return Task(pid, _stat(pid)[1])


def current() -> Task:
    return task(os.getpid())


def with_arguments(program: str, argument: str) -> tuple[Task, ...]:
    """Processes that were started with a path that ends in /`program`, followed by `argument`."""
    found = []
    for pid in _pids():
        with suppress(*GONE, PermissionError):
            words = os.fsdecode((PROC / str(pid) / "cmdline").read_bytes()).split("\0")
            pairs = pairwise(words)
            if any(path.endswith(f"/{program}") and following == argument for path, following in pairs):
                found.append(task(pid))
    return tuple(found)


def within(init: Task) -> tuple[Task, ...]:
    """Processes of the PID namespace of a process, itself included, nested namespaces not."""
    found = []
    with suppress(*GONE):
        namespace = _pid_namespace(init.pid)
        for pid in _pids():
            with suppress(*GONE, PermissionError):
                if _pid_namespace(pid) == namespace:
                    found.append(task(pid))
    return tuple(found)


def command_name(of: Task) -> str:
    """The first 15 characters of its program's name; empty when it is gone."""
    with suppress(*GONE):
        return (PROC / str(of.pid) / "comm").read_text().rstrip("\n")
    return ""


def kill(targets: Iterable[Task], seconds: float, number: int = signal.SIGKILL) -> None:
    """Signal processes and wait until all have ended; raises `HostTimeout` when one runs after `seconds`."""
    with _handles(targets) as handles:
        for handle in handles:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
        left = _running(handles, seconds)
    if left:
        raise HostTimeout(f"{left} of {len(handles)} processes did not end within {seconds:.0f} s")


def wait(targets: Iterable[Task], seconds: float) -> bool:
    """Wait until processes have ended by themselves; whether they have."""
    with _handles(targets) as handles:
        return _running(handles, seconds) == 0


def _running(handles: Sequence[int], seconds: float) -> int:
    """How many have not ended when `seconds` have passed."""
    deadline = time.monotonic() + seconds
    return sum(not select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0] for handle in handles)


@contextmanager
def _handles(targets: Iterable[Task]) -> Iterator[list[int]]:
    """Descriptors of those processes that still run: while one is open its pid is given to no other process."""
    handles: list[int] = []
    try:
        for target in targets:
            with suppress(ProcessLookupError):
                handles.append(os.pidfd_open(target.pid))
                if not target.alive:
                    os.close(handles.pop())
        yield handles
    finally:
        for handle in handles:
            os.close(handle)


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def _pid_namespace(pid: int) -> str:
    return str((PROC / str(pid) / "ns/pid").readlink())


def _stat(pid: int) -> tuple[str, int]:
    # The second field, the name, may hold spaces and brackets: count from its last bracket.
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[19])
