"""One reconciler at a time on a host."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.errors import HostError


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the lock of a state folder; the kernel releases it when the process ends, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = (folder / "lock").open("w")
    except OSError as error:
        raise HostError(
            f"the state folder {folder} cannot be used ({error.strerror}); nothing was done",
            hint="run the reconciler as root, or name another folder with --var",
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HostError(
                "another reconciler is at work on this host; nothing was done", hint="wait until it has ended"
            ) from error
        yield
