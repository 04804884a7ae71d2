"""The shell on a real guest's serial console.

The console is a socket that QEMU itself listens on: it works while libvirtd is away, and again after it is back.
"""

from __future__ import annotations

import itertools
import os
import re
import select
import socket
import time
from contextlib import suppress
from types import TracebackType

from reconciler.errors import HostError, HostTimeout
from reconciler.lab.handle import Lab
from reconciler.lab.settings import CONSOLE_FOLDER

BOOT_SECONDS = 60.0
COMMAND_SECONDS = 30.0
# A shell that starts while we type may swallow it, so an unanswered greeting is repeated.
GREETING_SECONDS = 0.25
ATTEMPT_SECONDS = 0.02


class Console:
    """One connection to a guest's console; QEMU serves one at a time. Seconds are counted from each call."""

    def __init__(self, lab: Lab, domain: str) -> None:
        self.domain = domain
        self._folder = lab.folder / "run" / CONSOLE_FOLDER
        self._socket: socket.socket | None = None
        self._heard = ""
        self._numbers = itertools.count(1)

    def __enter__(self) -> Console:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None

    def wait_for_prompt(self, timeout: float = BOOT_SECONDS) -> None:
        """Wait until the guest's shell answers. Raises `HostTimeout` after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        self._connect(deadline)
        while (left := deadline - time.monotonic()) > 0:
            # The marker must not appear in the echo of what we type.
            number = next(self._numbers)
            self._send(f"stty -echo; echo 'here'-{number}-\n")
            if self._read_until(re.compile(rf"here-{number}-"), min(left, GREETING_SECONDS)):
                return
        raise HostTimeout(f"guest {self.domain!r} showed no prompt within {timeout:.0f} s")

    def command(self, line: str, timeout: float = COMMAND_SECONDS, *, check: bool = True) -> str:
        """Run a line in the guest's shell and return its output, errors included, lines ended by `\\n`.

        Raises `HostError` when it ends with another exit code than 0 and `check` is set, `HostTimeout` when it has not
        ended after `timeout` seconds (it is interrupted).
        """
        number = next(self._numbers)
        self._heard = ""
        self._send(f"echo 'begin'-{number}-; {{ {line}\n}} 2>&1; echo 'end'-{number}-$?-\n")
        pattern = re.compile(rf"begin-{number}-\r?\n(.*?)end-{number}-(\d+)-", re.DOTALL)
        found = self._read_until(pattern, timeout)
        if not found:
            self._send("\x03")
            raise HostTimeout(f"`{line}` did not end within {timeout:.0f} s in guest {self.domain!r}")
        output, code = _clean(found[1]), int(found[2])
        if check and code != 0:
            raise HostError(f"`{line}` ended with exit code {code} in guest {self.domain!r}: {output.strip()}")
        return output

    def _connect(self, deadline: float) -> None:
        while self._socket is None:
            with suppress(FileNotFoundError, ConnectionRefusedError):
                self._socket = self._open()
                return
            if time.monotonic() > deadline:
                raise HostTimeout(f"guest {self.domain!r} has no console: it does not run")
            time.sleep(ATTEMPT_SECONDS)

    def _open(self) -> socket.socket:
        # By way of the folder's descriptor the path is short enough for any lab and guest.
        folder = os.open(self._folder, os.O_PATH | os.O_DIRECTORY)
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(f"/proc/self/fd/{folder}/{self.domain}.sock")
        except OSError:
            connection.close()
            raise
        finally:
            os.close(folder)
        return connection

    def _send(self, text: str) -> None:
        try:
            self._connected().sendall(text.encode())
        except (BrokenPipeError, ConnectionResetError) as error:
            raise HostError(f"guest {self.domain!r} has ended") from error

    def _read_until(self, pattern: re.Pattern[str], seconds: float) -> re.Match[str] | None:
        connection = self._connected()
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([connection], [], [], left)[0]:
                return None
            received = connection.recv(65536)
            if not received:
                raise HostError(f"guest {self.domain!r} has ended")
            self._heard += received.decode(errors="replace")
            if found := pattern.search(self._heard):
                return found
        return None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._connect(time.monotonic())
        assert self._socket is not None
        return self._socket


def _clean(text: str) -> str:
    """Without carriage returns, and without the prompts that the shell shows between two lines of ours."""
    return re.sub(r"^(?:[#>] )+", "", text.replace("\r\n", "\n"), flags=re.MULTILINE)
