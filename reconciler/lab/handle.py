"""A running lab: where it is, how to run programs in it, and its daemon."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import HostError, HostTimeout
from reconciler.host import processes
from reconciler.host.processes import Completed, Namespaces
from reconciler.lab import init, tasks
from reconciler.lab.releases import System
from reconciler.lab.settings import LOG_FILE
from reconciler.lab.tasks import Task

DAEMON = "libvirtd"
STOP_SECONDS = 30.0
READY_SECONDS = 60.0
POLL_SECONDS = 0.01
# The last one only says that a driver failed, the one before it why.
SHOWN_ERRORS = 3


@dataclass(frozen=True, slots=True)
class Lab:
    """A private libvirtd with its network, under one folder.

    `init` is its process 1 as seen from outside; `token` tells it from an earlier or later lab of its name; `system` is
    whose libvirt it runs.
    """

    name: str
    folder: Path
    init: Task
    token: str
    system: System
    bridges: tuple[str, ...] = ("br0",)

    @property
    def uri(self) -> str:
        """libvirt's address of the lab, good inside its namespaces and outside."""
        return f"qemu+unix:///system?socket={self.folder}/run/libvirt-sock"

    @property
    def namespaces(self) -> Namespaces:
        return Namespaces(self.init.pid, ("mount", "uts", "net", "pid"))

    @property
    def log_path(self) -> Path:
        """libvirtd's log, with every public call on domains, filters and bindings and its arguments."""
        return self.folder / "log" / LOG_FILE

    @property
    def daemon_pid(self) -> int | None:
        """libvirtd's pid as seen from outside, None while it does not run."""
        daemon = self._daemon()
        return daemon.pid if daemon else None

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        timeout: float = 30.0,
        check: bool = True,
        env: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run a program inside, as `host.processes.run` does outside."""
        return processes.run(argv, stdin=stdin, timeout=timeout, check=check, env=env, within=self.namespaces)

    def start_daemon(self) -> None:
        """Start libvirtd and return when it has its socket; `wait_until_ready` waits for its answers.

        Raises `HostError` when it cannot read its settings or is running already.
        """
        root = ["chroot", str(self.folder / init.ROOT)] if self.system.foreign else []
        self.run([*root, DAEMON, "--daemon"])

    def kill_daemon(self) -> None:
        """Kill libvirtd as a crash would, and wait for its end; guests run on."""
        self._signal_daemon(signal.SIGKILL)

    def restart_daemon(self, sig: int = signal.SIGTERM, *, timeout: float = READY_SECONDS) -> None:
        """End libvirtd with a signal, start it again, and wait up to `timeout` seconds for its answers."""
        self._signal_daemon(sig)
        self.start_daemon()
        self.wait_until_ready(timeout)

    def wait_until_ready(self, timeout: float = READY_SECONDS) -> None:
        """Wait until libvirtd answers: its drivers are up and all rules are built.

        After a restart it meets its running guests a moment later: until then they are active, and refuse changes.
        Raises `HostError` at once when it has ended, with what it logged last; `HostTimeout` after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            with suppress(HostTimeout):
                if processes.run(["virsh", "--connect", self.uri, "uri"], timeout=left, check=False).ok:
                    return
            if not self._daemon():
                raise HostError(f"libvirtd of lab {self.name!r} has ended: {self._last_errors()}")
            time.sleep(POLL_SECONDS)
        raise HostTimeout(f"libvirtd of lab {self.name!r} did not answer within {timeout:.0f} s")

    def _signal_daemon(self, sig: int) -> None:
        while daemons := self._daemons():
            tasks.kill(daemons, STOP_SECONDS, sig)

    def _daemon(self) -> Task | None:
        return min(self._daemons(), key=lambda task: (task.started, task.pid), default=None)

    def _daemons(self) -> list[Task]:
        """libvirtd, and children that it has just forked: they still bear its name, and outlive its death."""
        return [task for task in tasks.within(self.init) if tasks.command_name(task) == DAEMON]

    def _last_errors(self) -> str:
        try:
            lines = self.log_path.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return "it logged nothing"
        errors = [line.partition(": error : ")[2] for line in lines if ": error : " in line]
        return "; ".join(errors[-SHOWN_ERRORS:]) or "it logged no error"
