"""One connection to a daemon, and what belongs to the process behind it."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import libvirt

from reconciler.errors import HostUnreachable, ReconcilerError
from reconciler.host.address import DaemonAddress, daemon_pid, namespaces_of, proc_of
from reconciler.host.daemon_settings import read_settings
from reconciler.host.deadline import ANSWER_SECONDS, Hang, Worker
from reconciler.host.processes import Namespaces

_POLL_SECONDS = 0.05
_READERS = 4
"""A client may have five calls open at a time (max_client_requests in libvirtd.conf)."""


class Session(NamedTuple):
    """`pid` is the daemon's, `settings` the text of its settings of filters, `within` where its rules are.

    Whatever changes something goes through the first worker's one thread. Objects are read by all of them at once, each
    looked up alone: nothing is listed that libvirt 9.0 locks as a whole, which can deadlock with a binding being made.
    """

    connection: Any
    workers: tuple[Worker, ...]
    pid: int
    within: Namespaces | None
    settings: str | None

    @property
    def worker(self) -> Worker:
        return self.workers[0]

    def close(self) -> None:
        """Ask nothing more; a daemon that no longer answers is left to itself."""
        for worker in self.workers:
            worker.close()


def open_session(address: DaemonAddress, seconds: float = ANSWER_SECONDS) -> Session:
    """Raises `HostUnreachable` when the daemon does not answer, `HostTimeout` when not within `seconds`."""
    pid = daemon_pid(address)
    within, settings = namespaces_of(pid, address), read_settings(proc_of(pid) / "root")
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    hang = Hang()
    workers = tuple(Worker(hang) for _ in range(_READERS))
    try:
        connection = _connection(address, workers[0], seconds)
    except ReconcilerError:
        for worker in workers:
            worker.close()
        raise
    return Session(connection, workers, pid, within, settings)


def _connection(address: DaemonAddress, worker: Worker, seconds: float) -> Any:
    try:
        return worker.call("open a connection", lambda: libvirt.open(address.uri), seconds)
    except libvirt.libvirtError as error:
        raise HostUnreachable(
            f"libvirt refuses the connection to {address.uri}: {error.get_error_message()}; nothing was done",
            hint="run the reconciler as root, on the host itself",
        ) from error


def open_again(address: DaemonAddress, seconds: float) -> Session:
    """After a restart: the daemon listens when its drivers are up, and answers when all rules are built."""
    end = time.monotonic() + seconds
    while True:
        try:
            return open_session(address, max(1.0, end - time.monotonic()))
        except HostUnreachable:
            if time.monotonic() > end:
                raise
            time.sleep(_POLL_SECONDS)
