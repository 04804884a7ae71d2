"""Restarting the daemon that has the filters, whoever has started it."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import HostTimeout
from reconciler.host.address import DaemonAddress, daemon_pid
from reconciler.host.processes import run

_NAMESPACES = {"mount": "mnt", "uts": "uts", "net": "net", "pid": "pid", "ipc": "ipc"}
_POLL_SECONDS = 0.02
_FILTER_DAEMON = {"libvirtd": "libvirtd", "virtqemud": "virtnwfilterd"}


@dataclass(frozen=True, slots=True)
class Starter:
    """How a daemon is started again, also when it is down, and the root of its files.

    Descriptors that are kept open outlive the process, and are closed with ours.
    """

    argv: tuple[str, ...]
    root: Path
    by_service: bool

    def restart(self, running: int | None, seconds: float) -> None:
        """Returns when it was started; whether it answers, a new connection tells. Raises `HostError`."""
        if not self.by_service and running is not None:
            _end(running, seconds)
        run(self.argv, timeout=seconds)


def starter(address: DaemonAddress) -> Starter:
    """By systemd, by its init script, or as it was started, in its own namespaces and below its own root."""
    pid = daemon_pid(address)
    name = Path(f"/proc/{pid}/comm").read_text().strip()
    unit = _FILTER_DAEMON.get(name, name)
    script = Path("/etc/init.d") / unit
    root = Path(_kept_open(f"/proc/{pid}/root"))
    if _is_of_this_system(pid):
        if Path("/run/systemd/system").is_dir():
            return Starter(("systemctl", "restart", f"{unit}.service"), root, by_service=True)
        if script.exists() and _parent(pid) == 1:
            return Starter((str(script), "restart"), root, by_service=True)
    return Starter(_as_before(pid, root), root, by_service=False)


def _is_of_this_system(pid: int) -> bool:
    """Not in a lab or a container."""
    return all(Path(f"/proc/{pid}/ns/{name}").stat() == Path(f"/proc/self/ns/{name}").stat() for name in ("mnt", "pid"))


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _as_before(pid: int, root: Path) -> tuple[str, ...]:
    """Its command, entered into what it sees."""
    words = [word for word in Path(f"/proc/{pid}/cmdline").read_text().split("\0") if word]
    entered = [f"--{option}={_kept_open(f'/proc/{pid}/ns/{name}')}" for option, name in _NAMESPACES.items()]
    return ("nsenter", *entered, f"--root={root}", "--wd=/", "--", *_detached(words))


def _kept_open(path: str) -> str:
    return f"/proc/{os.getpid()}/fd/{os.open(path, os.O_RDONLY)}"


def _detached(words: list[str]) -> list[str]:
    return words if any(word in ("-d", "--daemon") for word in words) else [*words, "--daemon"]


def _end(pid: int, seconds: float) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    end = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists() and not _is_zombie(pid):
        if time.monotonic() > end:
            raise HostTimeout(f"libvirt's daemon (process {pid}) did not end within {seconds:.0f} s")
        time.sleep(_POLL_SECONDS)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
