"""The wake socket: whoever connects to it has systemd start the service, which takes the knock and begins."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from reconciler.errors import HostError

SOCKET = Path("/run/reconciler-wake.sock")
_FIRST_DESCRIPTOR = 3
_SECONDS = 5.0


def wake(path: Path) -> None:
    """Knock. Raises `HostError` when nobody listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knocker:
        knocker.settimeout(_SECONDS)
        try:
            knocker.connect(str(path))
        except OSError as error:
            raise HostError(
                f"nobody listens on {path} ({error.strerror or error}); this host's timer wakes it later",
                hint="systemctl enable --now reconciler-wake.socket",
            ) from error


def take_knocks(environment: Mapping[str, str] = os.environ) -> int:
    """Accept those who wait at the socket that systemd handed over; how many there were.

    At the start of a run: who knocks later waits, and has systemd start another run after this one. Were nobody
    accepted, it would start the service again and again.
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return 0
    knocks = 0
    for number in range(int(environment.get("LISTEN_FDS") or 0)):
        with socket.socket(fileno=os.dup(_FIRST_DESCRIPTOR + number)) as listener, suppress(BlockingIOError, OSError):
            listener.setblocking(False)
            while True:
                listener.accept()[0].close()
                knocks += 1
    return knocks
