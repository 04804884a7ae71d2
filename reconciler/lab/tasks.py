"""Processes by identity: a pid alone may be another process's by now, a pid with its start time cannot."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
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
    deadline = time.monotonic() + seconds
    handles = [(target, handle) for target in targets if (handle := _handle(target)) is not None]
    try:
        for _, handle in handles:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
        for target, handle in handles:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([handle], [], [], left)[0]:
                raise HostTimeout(f"process {target.pid} did not end within {seconds:.0f} s")
    finally:
        for _, handle in handles:
            os.close(handle)


def _handle(target: Task) -> int | None:
    try:
        handle = os.pidfd_open(target.pid)
    except ProcessLookupError:
        return None
    if target.alive:
        return handle
    os.close(handle)
    return None


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def _pid_namespace(pid: int) -> str:
    return str((PROC / str(pid) / "ns/pid").readlink())


def _stat(pid: int) -> tuple[str, int]:
    # The second field, the name, may hold spaces and brackets: count from its last bracket.
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[19])
