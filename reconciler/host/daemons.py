"""Restarting the daemon that has the filters, whoever has started it."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

from reconciler.errors import HostTimeout
from reconciler.host.address import DaemonAddress, daemon_pid
from reconciler.host.processes import run

_NAMESPACES = ("mount", "uts", "net", "pid", "ipc")
_PROC_NAMES = {"mount": "mnt"}
_POLL_SECONDS = 0.02
_FILTER_DAEMON = {"libvirtd": "libvirtd", "virtqemud": "virtnwfilterd"}


def restart_daemon(address: DaemonAddress, seconds: float) -> None:
    """By systemd, by its init script, or as it was started, in its own namespaces and below its own root.

    Returns when it was started; whether it answers, a new connection tells. Raises `HostError`.
    """
    pid = daemon_pid(address)
    name = Path(f"/proc/{pid}/comm").read_text().strip()
    unit = _FILTER_DAEMON.get(name, name)
    script = Path("/etc/init.d") / unit
    if not _is_of_this_system(pid):
        _start_as_before(pid, seconds)
    elif Path("/run/systemd/system").is_dir():
        run(["systemctl", "restart", f"{unit}.service"], timeout=seconds)
    elif script.exists() and _parent(pid) == 1:
        run([str(script), "restart"], timeout=seconds)
    else:
        _start_as_before(pid, seconds)


def _is_of_this_system(pid: int) -> bool:
    """Not in a lab or a container."""
    return all(Path(f"/proc/{pid}/ns/{name}").stat() == Path(f"/proc/self/ns/{name}").stat() for name in ("mnt", "pid"))


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _start_as_before(pid: int, seconds: float) -> None:
    words = [word for word in Path(f"/proc/{pid}/cmdline").read_text().split("\0") if word]
    own = os.getpid()
    with ExitStack() as opened:
        entered = [
            f"--{name}=/proc/{own}/fd/{_open(opened, f'/proc/{pid}/ns/{_PROC_NAMES.get(name, name)}')}"
            for name in _NAMESPACES
        ]
        root = _open(opened, f"/proc/{pid}/root")
        _end(pid, seconds)
        run(["nsenter", *entered, f"--root=/proc/{own}/fd/{root}", "--wd=/", "--", *_detached(words)], timeout=seconds)


def _open(opened: ExitStack, path: str) -> int:
    """Kept open, a namespace outlives its last process."""
    descriptor = os.open(path, os.O_RDONLY)
    opened.callback(os.close, descriptor)
    return descriptor


def _detached(words: list[str]) -> list[str]:
    return words if any(word in ("-d", "--daemon") for word in words) else [*words, "--daemon"]


def _end(pid: int, seconds: float) -> None:
    os.kill(pid, signal.SIGTERM)
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
