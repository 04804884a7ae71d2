"""Labs up, labs down: each comes up whole or not at all, and leaves nothing behind.

While a lab is being started, and for its whole life when it is not kept, it hangs on a socket that its creator holds
open (`init`): when the creator ends, however it ends, the kernel ends the lab. Only the folder is left then, for the
next `up`, `down`, `lab` or `sweep` of any lab to remove.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from reconciler.errors import HostError, HostTimeout, UsageError
from reconciler.host import processes
from reconciler.host.processes import Background
from reconciler.lab import cache, init, registry, releases, settings, tasks, trees
from reconciler.lab.handle import Lab
from reconciler.lab.ports import add_bridges
from reconciler.lab.registry import LabError, LabState, Phase

NAMESPACES = ("--mount", "--net", "--pid", "--uts", "--fork", "--kill-child=SIGKILL")
INIT_SECONDS = 20.0
INIT_LOG = "init.log"


@dataclasses.dataclass(slots=True)
class _Leash:
    """What ties a lab to this process: the socket to its init, and unshare(1), which waits for that init."""

    end: socket.socket
    parent: Background

    def let_go(self) -> None:
        self.end.sendall(b"k")
        self.end.close()


_leashes: dict[str, _Leash] = {}


def up(
    name: str = "lab",
    *,
    keep: bool = True,
    stp: bool = False,
    bridges: Sequence[str] = ("br0",),
    release: str = "",
    backend: str = "",
    say: Callable[[str], None] = trees.silent,
) -> Lab:
    """Start a lab and return when its libvirtd answers. With `keep` it outlives this process.

    `release` and `backend` are those of `releases.choose`. Raises `LabError` when there is one of this name,
    `UsageError` for a bad name, an unknown release or without root's rights, `HostError` when something cannot be
    started; then, and on any other exception, nothing is left.
    """
    if os.geteuid() != 0:
        raise UsageError("a lab needs root: it makes namespaces, mounts and bridges", hint="run it with sudo")
    registry.check_name(name)
    for bridge in bridges:
        registry.check_bridge(bridge)
    system = releases.choose(release, backend, say)
    token = secrets.token_hex(8)
    try:
        state = LabState(name, token, keep, tasks.current(), system, bridges=tuple(bridges))
        registry.claim(state)
        return _start(state, stp=stp)
    except BaseException:
        _discard(name, token)
        raise


def down(name: str) -> None:
    """Remove a lab with all that runs in it. Raises `LabError` when there is none."""
    registry.check_name(name)
    if name not in sweep() and not _discard(name):
        raise LabError(f"there is no lab {name!r}", hint="`reconciler lab list` shows those that are up")


def listing() -> tuple[LabState, ...]:
    """Every lab that is up or being started, by name."""
    return tuple(state for state in registry.states() if not state.orphaned)


def find(name: str) -> Lab:
    """A lab that is up. Raises `LabError` when there is none of this name."""
    registry.check_name(name)
    state = registry.load(name)
    if not state or not state.running:
        raise LabError(f"there is no lab {name!r}", hint=f"`reconciler lab up {name}` starts one")
    return _handle(state)


def sweep() -> tuple[str, ...]:
    """Remove what killed creators have left behind; returns the names of those labs."""
    swept = registry.sweep()
    _collect()
    return swept


@contextmanager
def lab(
    name: str | None = None,
    *,
    stp: bool = False,
    bridges: Sequence[str] = ("br0",),
    release: str = "",
    backend: str = "",
) -> Iterator[Lab]:
    """A lab for the length of a `with` block, that ends with this process at the latest. A random name by default."""
    name = name or f"lab-{secrets.token_hex(4)}"
    running = up(name, keep=False, stp=stp, bridges=bridges, release=release, backend=backend)
    try:
        yield running
    finally:
        _discard(name, running.token)


def _start(state: LabState, *, stp: bool) -> Lab:
    settings.write(state.folder, state.system)
    cache.seed(state.folder / "cache", state.system.label)
    pid = _start_init(state)
    state = dataclasses.replace(state, init=tasks.task(pid))
    registry.update(state)
    running = _handle(state)
    add_bridges(running, state.bridges, stp=stp)
    running.start_daemon()
    running.wait_until_ready()
    registry.update(dataclasses.replace(state, phase=Phase.READY))
    if state.kept:
        _leashes[state.token].let_go()
    return running


def _start_init(state: LabState) -> int:
    """Start a lab's process 1 and return its pid once its mounts are made."""
    ours, theirs = socket.socketpair()
    with theirs:
        words = [sys.executable, "-I", "-S", init.__file__, str(state.folder), state.name, str(theirs.fileno())]
        if state.system.foreign:
            words += [str(state.system.root), str(cache.folder())]
        parent = processes.spawn(
            ["unshare", *NAMESPACES, *words], log=state.folder / INIT_LOG, descriptors=[theirs.fileno()]
        )
        _leashes[state.token] = _Leash(ours, parent)
    ours.settimeout(INIT_SECONDS)
    try:
        word, _, rest = ours.makefile().readline().strip().partition(" ")
    except TimeoutError:
        raise HostTimeout(f"the first process of lab {state.name!r} is not ready") from None
    if word != "ready":
        raise HostError(f"lab {state.name!r} cannot be set up: {rest or _log_of(state.folder)}")
    return int(rest)


def _log_of(folder: Path) -> str:
    return (folder / INIT_LOG).read_text(errors="replace").strip() or "its first process ended without a word"


def _discard(name: str, token: str = "") -> bool:
    removed = registry.discard(name, token)
    _collect()
    return removed


def _collect() -> None:
    """Let go of the labs of this process that have ended, whoever ended them."""
    for token, leash in list(_leashes.items()):
        if leash.parent.collect() is not None:
            leash.end.close()
            del _leashes[token]


def _handle(state: LabState) -> Lab:
    if state.init is None:
        raise LabError(f"lab {state.name!r} is just being started")
    return Lab(state.name, state.folder, state.init, state.token, state.system, state.bridges)
