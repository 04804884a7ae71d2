"""Put the units, the configuration and the state folder where they belong, and take the units away again."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from reconciler.errors import HostError
from reconciler.host.processes import run
from reconciler.host.wake import SOCKET
from reconciler.settings import DEFAULT_CONFIG

UNITS = ("reconciler.service", "reconciler.timer", "reconciler-wake.socket")
STATE = Path("/var/lib/reconciler")
_UNITS_FOLDER = Path("/etc/systemd/system")
_TMPFILES = Path("/etc/tmpfiles.d/reconciler.conf")
_RUNNING = Path("/run/systemd/system")


@dataclass(frozen=True, slots=True)
class Place:
    """Where it goes: `prefix` is `/`, or the root of an image that somebody makes."""

    prefix: Path

    def at(self, path: Path) -> Path:
        return self.prefix / path.relative_to("/")

    @property
    def is_here(self) -> bool:
        """Whether a systemd runs that reads these files."""
        return self.prefix == Path("/") and _RUNNING.is_dir()


def install(place: Place) -> Iterator[str]:
    """Write what is missing or another version; says what it did. Raises `HostError` for what cannot be written.

    The configuration and the state are the operator's: what is there stays.
    """
    try:
        yield from _install(place)
    except OSError as error:
        raise HostError(
            f"{error.filename or place.prefix} cannot be written ({error.strerror}); the files before it were",
            hint="run it as root, or name another place with --prefix",
        ) from error


def _install(place: Place) -> Iterator[str]:
    for name in UNITS:
        yield _write(place.at(_UNITS_FOLDER / name), _filled(name))
    yield _write(place.at(_TMPFILES), _filled("reconciler.tmpfiles"))
    config = place.at(DEFAULT_CONFIG)
    if config.exists():
        yield f"kept {config}"
    else:
        config.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        yield _write(config, _filled("config.yaml"), 0o600)
    state = place.at(STATE)
    made = "kept" if state.is_dir() else "made"
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    state.chmod(0o700)
    yield f"{made} {state}"
    if place.is_here:
        run(["systemctl", "daemon-reload"])
        yield "had systemd read its units again"


def uninstall(place: Place) -> Iterator[str]:
    """Stop and remove the units; the configuration and the state stay. Raises `HostError` when that fails."""
    if place.is_here:
        run(["systemctl", "disable", "--now", "reconciler.timer", "reconciler-wake.socket"], check=False)
        yield "stopped the timer and the wake socket"
    try:
        for path in (*(_UNITS_FOLDER / name for name in UNITS), _TMPFILES):
            target = place.at(path)
            if target.exists():
                target.unlink()
                yield f"removed {target}"
    except OSError as error:
        raise HostError(f"{error.filename} cannot be removed ({error.strerror})", hint="run it as root") from error
    for path in (DEFAULT_CONFIG, STATE):
        if place.at(path).exists():
            yield f"kept {place.at(path)}"
    if place.is_here:
        run(["systemctl", "daemon-reload"])


def _write(path: Path, text: str, mode: int = 0o644) -> str:
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return f"kept {path}"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(text, encoding="utf-8")
    draft.chmod(mode)
    draft.replace(path)
    return f"wrote {path}"


def _filled(name: str) -> str:
    text = files("reconciler.units").joinpath(name).read_text(encoding="utf-8")
    for word, value in (
        ("@COMMAND@", _command()),
        ("@CONFIG@", str(DEFAULT_CONFIG)),
        ("@SOCKET@", str(SOCKET)),
        ("@VAR@", str(STATE)),
    ):
        text = text.replace(word, value)
    return text


def _command() -> str:
    """This installation's own command by its full path, whatever PATH says when the timer fires."""
    beside = Path(sys.executable).with_name("reconciler")
    found = beside if beside.exists() else Path(shutil.which("reconciler") or "")
    words = [str(found)] if found.is_absolute() else [sys.executable, "-m", "reconciler"]
    return shlex.join(words).replace("%", "%%")
