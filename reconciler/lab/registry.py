"""Which labs there are, whose they are, and how each is removed without a trace.

A lab is a folder with a `state.json` in it. States change only under a lock on the folder of all labs. Nothing
depends on a lab's creator ending well: `sweep` removes whatever belongs to nobody any more, and finds a lab's
processes by their command line, so it needs no pid that a killed creator had no time to write down.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from reconciler.errors import ReconcilerError, UsageError
from reconciler.lab import cache, tasks
from reconciler.lab.releases import System
from reconciler.lab.tasks import Task
from reconciler.model.kernel import Backend

ENVIRONMENT = "RECONCILER_LAB_DIR"
DEFAULT_ROOT = Path("/run/reconciler-labs")
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_BRIDGE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,14}")
STATE_FILE = "state.json"
# sun_path of unix(7) holds 108 bytes with the closing zero.
SOCKET_PATH_LIMIT = 107
LONGEST_SOCKET = "run/libvirt-admin-sock"
REMOVAL_SECONDS = 10.0
PARENT_SECONDS = 2.0


class LabError(ReconcilerError):
    """A lab is not there, or is there already."""


class Phase(StrEnum):
    STARTING = "starting"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class LabState:
    """What `state.json` says. `token` tells one lab from an earlier or later one of its name.

    `kept` labs live until `down`; the others no longer than `owner`, the process that made them.
    `init` is the lab's process 1 as seen from outside, None until it runs.
    """

    name: str
    token: str
    kept: bool
    owner: Task
    system: System
    phase: Phase = Phase.STARTING
    init: Task | None = None
    bridges: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return root() / self.name

    @property
    def running(self) -> bool:
        return self.phase is Phase.READY and self.init is not None and self.init.alive

    @property
    def orphaned(self) -> bool:
        """Whether nobody needs it: its creator died before it was ready or let go, or the lab itself died."""
        if self.phase is Phase.STARTING or not self.kept:
            return not self.owner.alive or (self.phase is Phase.READY and not self.running)
        return not self.running


def root() -> Path:
    """The folder of all labs."""
    return Path(os.environ.get(ENVIRONMENT) or DEFAULT_ROOT).resolve()


def check_name(name: str) -> None:
    """Raise `UsageError` for a name that is no lab's, or whose socket could not be reached."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a lab", hint="up to 31 small letters, digits and dashes, the first no dash"
        )
    if len(os.fsencode(root() / name / LONGEST_SOCKET)) > SOCKET_PATH_LIMIT:
        raise UsageError(f"{root()} is too long a path: no socket fits below it", hint=f"set {ENVIRONMENT}")


def check_bridge(name: str) -> None:
    """Raise `UsageError` for what no device can be called."""
    if not _BRIDGE.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a bridge", hint="up to 15 letters, digits, . _ and -, the first no dash"
        )


def states() -> tuple[LabState, ...]:
    """Every lab that has a state, by name."""
    found = (load(entry.name) for entry in _folders())
    return tuple(state for state in found if state)


def load(name: str) -> LabState | None:
    """The state of a lab, or None where there is none that can be read."""
    try:
        fields = json.loads((root() / name / STATE_FILE).read_text())
        return LabState(
            name=fields["name"],
            token=fields["token"],
            kept=fields["kept"],
            owner=Task(**fields["owner"]),
            system=_system(**fields["system"]) if "system" in fields else System("", Backend.IPTABLES),
            phase=Phase(fields["phase"]),
            init=Task(**fields["init"]) if fields["init"] else None,
            bridges=tuple(fields["bridges"]),
        )
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return None


def _system(release: str, backend: str, root: str) -> System:
    return System(release, Backend(backend), Path(root))


def claim(state: LabState) -> None:
    """Make the folder of a new lab; raises `LabError` when the name is taken."""
    with _locked():
        _sweep()
        other = load(state.name)
        if other:
            raise LabError(_refusal(other), hint=f"`reconciler lab down {state.name}` removes it")
        try:
            state.folder.mkdir(mode=0o711)
            _store(state)
        except BaseException:
            _remove(state.folder)
            raise


def update(state: LabState) -> None:
    """Replace a lab's state; raises `LabError` when it was taken down meanwhile."""
    with _locked():
        current = load(state.name)
        if not current or current.token != state.token:
            raise LabError(f"lab {state.name!r} was taken down while it was being started")
        _store(state)


def discard(name: str, token: str = "") -> bool:
    """Remove a lab, only the one with `token` where that is given; False when there is none."""
    with _locked():
        state = load(name)
        if not state or (token and state.token != token):
            return False
        _remove(state.folder)
        return True


def sweep() -> tuple[str, ...]:
    """Remove every lab that belongs to nobody any more, and return their names."""
    if not root().is_dir():
        return ()
    with _locked():
        return _sweep()


def _sweep() -> tuple[str, ...]:
    swept = []
    for folder in _folders():
        state = load(folder.name)
        if not state or state.orphaned:
            _remove(folder)
            swept.append(folder.name)
    return tuple(swept)


def _refusal(other: LabState) -> str:
    if other.phase is Phase.STARTING:
        return f"lab {other.name!r} is just being started by process {other.owner.pid}"
    return f"lab {other.name!r} is up already"


def _folders() -> list[Path]:
    try:
        return sorted(entry for entry in root().iterdir() if NAME.fullmatch(entry.name))
    except FileNotFoundError:
        return []


def _store(state: LabState) -> None:
    place = state.folder / STATE_FILE
    draft = place.with_suffix(".new")
    draft.write_text(json.dumps(asdict(state), indent=1, default=str) + "\n")
    draft.replace(place)


def _remove(folder: Path) -> None:
    """Kill a lab's processes, and with them its namespaces and mounts; then its files, the state last."""
    if not folder.is_dir():
        return
    state = load(folder.name)
    cache.harvest(folder / "cache", state.system.label if state else "")
    _kill(folder)
    deadline = time.monotonic() + REMOVAL_SECONDS
    while True:
        try:
            for entry in sorted(folder.iterdir(), key=lambda entry: entry.name == STATE_FILE):
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
            folder.rmdir()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise LabError(f"{folder} cannot be removed: {error}") from error
            time.sleep(0.01)


def _kill(folder: Path) -> None:
    """Kill a lab's process 1, then unshare(1), its parent, unless that ends by itself: it collects its child first."""
    found = tasks.with_arguments("init.py", str(folder))
    parents = [task for task in found if tasks.command_name(task) == "unshare"]
    tasks.kill([task for task in found if task not in parents], REMOVAL_SECONDS)
    if not tasks.wait(parents, PARENT_SECONDS):
        tasks.kill(parents, REMOVAL_SECONDS)


@contextmanager
def _locked() -> Iterator[None]:
    """Hold the lock on the folder of all labs, which exists only as long as it is needed.

    Ctrl-C waits meanwhile: between taking the lock and knowing it, it would leave us locked out by ourselves.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        handle = _lock()
        try:
            yield
        finally:
            with suppress(OSError):  # other labs are in it
                root().rmdir()
            os.close(handle)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _lock() -> int:
    while True:
        root().mkdir(mode=0o711, parents=True, exist_ok=True)
        try:
            handle = os.open(root(), os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)  # whoever held the lock before us has removed the folder
