"""systemd's journal: messages with fields, by its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL)."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

SOCKET = Path("/run/systemd/journal/socket")
MOST_BYTES = 60_000


def is_ours(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether standard error goes to the journal: then it is read by fields."""
    named = environment.get("JOURNAL_STREAM", "")
    status = os.fstat(2)
    return named == f"{status.st_dev}:{status.st_ino}"


def send(fields: Mapping[str, str], path: Path = SOCKET) -> None:
    """Send one message. A journal that does not take it is no reason to fail: the report has it all."""
    data = b"".join(_field(name, text) for name, text in fields.items() if text)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, suppress(OSError):
        sender.setblocking(False)
        sender.sendto(data if len(data) <= MOST_BYTES else _field("MESSAGE", fields["MESSAGE"]), str(path))


def _field(name: str, text: str) -> bytes:
    """A value with line ends goes with its length, so that it cannot become a field of its own."""
    value = text.encode("utf-8", "backslashreplace")
    if b"\n" not in value:
        return name.encode() + b"=" + value + b"\n"
    return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
