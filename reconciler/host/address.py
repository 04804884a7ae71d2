"""What a libvirt URI says about where the daemon is, and in which namespaces its kernel rules are."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from reconciler.errors import HostError, HostUnreachable, UsageError
from reconciler.host.processes import Namespaces

_OWN = Path("/proc/self")
_SYSTEM_SOCKETS = ("/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock")


class DaemonAddress(NamedTuple):
    """A local daemon: its URI and the sockets that it may listen on, the likeliest first."""

    uri: str
    sockets: tuple[str, ...]


def parse_uri(uri: str) -> DaemonAddress:
    """The sockets of a local system daemon.

    Raises `UsageError` for a URI of another machine: its kernel's rules cannot be read from here.
    """
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise UsageError(f"{uri!r} is not a libvirt URI: {error}", hint="for example qemu:///system") from error
    driver, _, transport = parts.scheme.partition("+")
    if driver != "qemu" or parts.path != "/system":
        raise UsageError(f"{uri!r} is not a QEMU system daemon", hint="for example qemu:///system")
    if parts.netloc or transport not in ("", "unix"):
        raise UsageError(
            f"{uri!r} is on another machine, whose kernel's rules cannot be read from here; nothing was done",
            hint="run the reconciler on that host itself, with qemu:///system",
        )
    given = parse_qs(parts.query).get("socket")
    return DaemonAddress(uri, tuple(given) if given else _SYSTEM_SOCKETS)


def daemon_pid(address: DaemonAddress) -> int:
    """The process that listens on the daemon's socket, as the kernel tells a client of it (SO_PEERCRED).

    Raises `HostUnreachable` with the reason: no socket, nobody listening, or no right to connect.
    """
    path = next((path for path in address.sockets if Path(path).exists()), None)
    if path is None:
        raise HostUnreachable(
            f"libvirt's socket {address.sockets[0]} does not exist; nothing was done",
            hint="start libvirtd (or virtqemud and virtnwfilterd), or name another with --connect",
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        try:
            client.connect(path)
        except PermissionError as error:
            raise HostUnreachable(
                f"no permission to connect to {path}; nothing was done", hint="run the reconciler as root"
            ) from error
        except OSError as error:
            raise HostUnreachable(
                f"libvirt does not answer on {path} ({error.strerror or error}); nothing was done",
                hint="libvirtd is not running, or is stopping: look at its log, start it, and try again",
            ) from error
        credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", credentials)[0]
    return pid


def namespaces_of(pid: int, address: DaemonAddress) -> Namespaces | None:
    """The daemon's network namespace, where its rules are; None when it is our own.

    A daemon with a root of its own has there the programs that made its rules, which alone are sure to read them.
    A hardened service may not look into another process, nor see it in /proc: then the sockets tell, which the kernel
    lists for each network namespace apart.
    """
    try:
        theirs, ours = (proc_of(pid) / "ns/net").stat(), Path("/proc/self/ns/net").stat()
        theirs_root = (proc_of(pid) / "root").stat()
        if proc_of(pid) == _OWN and not _listens_here(address):
            raise PermissionError if Path(f"/proc/{pid}").exists() else FileNotFoundError
    except PermissionError as error:
        raise HostError(
            "no permission to look at the daemon's network namespace; nothing was done",
            hint="run the reconciler as root",
        ) from error
    except FileNotFoundError as error:
        raise HostUnreachable(f"the daemon (process {pid}) went away; nothing was done") from error
    if not _is_same(theirs_root, Path("/").stat()):
        return Namespaces(pid, ("net", "root"))
    return None if _is_same(theirs, ours) else Namespaces(pid)


def _is_same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_ino, one.st_dev) == (other.st_ino, other.st_dev)


def proc_of(pid: int) -> Path:
    """The folder in /proc through which the daemon's root and network are seen: its own, or ours if that is closed."""
    theirs = Path(f"/proc/{pid}")
    return theirs if os.access(theirs / "root/.", os.R_OK) else _OWN


def _listens_here(address: DaemonAddress) -> bool:
    paths = {line.split()[-1] for line in Path("/proc/self/net/unix").read_text().splitlines()}
    return not paths.isdisjoint(address.sockets)


def network_devices(pid: int) -> frozenset[str]:
    """The network devices that a process sees: those of its network namespace."""
    try:
        lines = (proc_of(pid) / "net/dev").read_text().splitlines()
    except OSError as error:
        raise HostUnreachable(f"the daemon (process {pid}) went away; nothing was done") from error
    return frozenset(line.partition(":")[0].strip() for line in lines if ":" in line)
