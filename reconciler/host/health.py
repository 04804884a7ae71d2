"""What a host must have for the reconciler: programs, rights, kernel settings, a clock that is right."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from reconciler.errors import HostError, ReconcilerError
from reconciler.host.address import daemon_pid, namespaces_of, parse_uri, proc_of
from reconciler.host.backend import said_backend
from reconciler.host.processes import SEARCH_PATH, run
from reconciler.model.health import Finding, Health
from reconciler.model.kernel import Backend

HOOK_FOLDER = Path("/etc/libvirt/hooks")
HOOK_MARK = "reconciler-admit"
WANTED_BY = Path("/etc/systemd/system/timers.target.wants/reconciler.timer")
_BRIDGE_SETTINGS = ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables")
_LEAST_FREE_BYTES = 64 << 20
_CLOCK_UNSYNCHRONISED = 5


def host_findings(uri: str, var: Path) -> Iterator[Finding]:
    """Everything that can be looked at without the site; nothing is changed."""
    yield _rights()
    yield from _programs()
    yield from _daemon(uri)
    yield _room(var)
    yield _clock()
    yield _timer()
    yield _hook()


def _rights() -> Finding:
    if os.geteuid() == 0:
        return Finding("rights", Health.OK, "root")
    return Finding("rights", Health.FAILED, "not root: the kernel's rules cannot be read", "run it as root")


def _programs() -> Iterator[Finding]:
    for name, why in (
        ("git", "fetches the site"),
        ("ebtables-save", "reads ethernet-level rules"),
        ("iptables-save", "reads IPv4-level rules"),
        ("ip6tables-save", "reads IPv6-level rules"),
        ("nft", "closes a port while its rules are in doubt"),
        ("timeout", "ends a git that hangs"),
    ):
        found = shutil.which(name, path=SEARCH_PATH)
        if found is None:
            yield Finding(name, Health.FAILED, f"{name} is not installed; it {why}", f"install the package of {name}")
        else:
            yield Finding(name, Health.OK, found)


def _daemon(uri: str) -> Iterator[Finding]:
    """Without a libvirt call that could hang: who listens, where, and what it is set to."""
    try:
        address = parse_uri(uri)
        pid = daemon_pid(address)
        within = namespaces_of(pid, address)
    except ReconcilerError as error:
        yield Finding("libvirt", Health.FAILED, error.message, error.hint)
        return
    yield Finding("libvirt", Health.OK, f"process {pid} listens")
    try:
        yield Finding("backend", Health.OK, f"rules are made with {said_backend(proc_of(pid) / 'root') or 'iptables'}")
    except ReconcilerError as error:
        yield Finding("backend", Health.FAILED, error.message, error.hint)
    try:
        text = run(["virsh", "--connect", uri, "version", "--daemon"], timeout=20).stdout
        yield Finding("versions", Health.OK, "; ".join(line.strip() for line in text.splitlines() if line.strip()))
    except HostError as error:
        yield Finding("versions", Health.WARNING, f"libvirt does not say its version: {error.message}")
    # Rules of nft see bridged packets themselves.
    for name in () if said_backend(proc_of(pid) / "root") is Backend.NFTABLES else _BRIDGE_SETTINGS:
        told = run(["cat", f"/proc/sys/net/bridge/{name}"], check=False, within=within)
        yield _bridge_setting(name, told.stdout.strip() if told.ok else None)


def _bridge_setting(name: str, value: str | None) -> Finding:
    if value == "1":
        return Finding(name, Health.OK, "on")
    reason = "br_netfilter is not loaded" if value is None else "it is off"
    hint = f"modprobe br_netfilter; sysctl net.bridge.{name}=1. The shipped filters do not need it"
    return Finding(name, Health.WARNING, f"{reason}: rules for tcp, udp, icmp and all do nothing", hint)


def _room(var: Path) -> Finding:
    folder = next(each for each in (var, *var.parents) if each.exists())
    free = shutil.disk_usage(folder).free
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return Finding("state", Health.FAILED, f"{var} cannot be written", "run it as root, or name another with --var")
    if free < _LEAST_FREE_BYTES:
        return Finding("state", Health.FAILED, f"{var} has {free >> 20} MiB left", "make room: the journal comes first")
    return Finding("state", Health.OK, f"{var}, {free >> 20} MiB free")


def _clock() -> Finding:
    """adjtimex(2) with nothing to change says whether something keeps the clock right."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex(ctypes.create_string_buffer(512)) != _CLOCK_UNSYNCHRONISED:
        return Finding("clock", Health.OK, "synchronised")
    hint = "run chrony or systemd-timesyncd: certificates, signatures, windows and suspensions go by the clock"
    return Finding("clock", Health.WARNING, "nothing keeps the clock right", hint)


def _timer() -> Finding:
    if WANTED_BY.exists():
        return Finding("timer", Health.OK, "enabled")
    hint = "`reconciler install`, then `systemctl enable --now reconciler.timer`"
    return Finding("timer", Health.WARNING, "no timer starts `reconciler run`", hint)


def _hook() -> Finding:
    """libvirt runs hooks/qemu and, since 6.5, every file in hooks/qemu.d."""
    for path in (HOOK_FOLDER / "qemu", *sorted((HOOK_FOLDER / "qemu.d").glob("*"))):
        try:
            if HOOK_MARK in path.read_text(errors="replace"):
                state = Health.OK if os.access(path, os.X_OK) else Health.WARNING
                return Finding("hook", state, str(path), "" if state is Health.OK else f"chmod 755 {path}")
        except OSError:
            continue
    hint = "copy hooks/qemu to /etc/libvirt/hooks/qemu.d/reconciler, and restart libvirtd once"
    return Finding("hook", Health.WARNING, "guests that others start are not looked at", hint)
