"""One reconciler at a time on a host."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from reconciler.errors import HostBusy, HostError

_HOOK_SECONDS = 0.2


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
        _lock(file)
        yield


def _lock(file: IO[str]) -> None:
    """libvirt's hook looks for the lock by taking it for a moment, which is no reason to give up."""
    ends = time.monotonic() + _HOOK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > ends:
                raise HostBusy(
                    "another reconciler is at work on this host; nothing was done", hint="wait until it has ended"
                ) from error
        time.sleep(0.01)
