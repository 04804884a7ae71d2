"""Run a command with the system calls that a unit leaves it, and no others: the rest fails with EPERM, as by systemd.

    python sandboxed.py NUMBER,NUMBER,… COMMAND…

Standard library alone: it runs inside a lab. x86-64 only, as the labs.
"""

from __future__ import annotations

import ctypes
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ARCHITECTURE, _ALLOW, _ERRNO, _EPERM = 0xC000003E, 0x7FFF0000, 0x00050000, 1


def left_by(unit: str) -> list[int]:
    """Numbers of the calls that the SystemCallFilter= lines of a unit allow."""
    names: set[str] = set()
    for line in re.findall("^SystemCallFilter=(.*)$", unit, re.MULTILINE):
        told = {name for word in line.removeprefix("~").split() for name in _expanded(word)}
        names = names - told if line.startswith("~") else names | told
    numbers = dict(re.findall(r"#define __NR_(\w+) (\d+)", HEADER.read_text()))
    return sorted(int(numbers[name]) for name in names if name in numbers)


def _expanded(word: str) -> set[str]:
    if not word.startswith("@"):
        return {word}
    text = subprocess.run(
        ["systemd-analyze", "syscall-filter", word], check=True, capture_output=True, text=True
    ).stdout
    lines = [line.strip() for line in text.splitlines()[1:]]
    return {name for line in lines if line and not line.startswith("#") for name in _expanded(line)}


def _program(allowed: list[int]) -> bytes:
    steps = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, _ARCHITECTURE), (_RETURN, 0, 0, _ERRNO | _EPERM), (_LOAD, 0, 0, 0)]
    for number in allowed:
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("HBBI", *step) for step in (*steps, (_RETURN, 0, 0, _ERRNO | _EPERM)))


def main() -> None:
    program = _program([int(number) for number in sys.argv[1].split(",")])
    buffer = ctypes.create_string_buffer(program)
    description = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, description, 0, 0):
        raise OSError(ctypes.get_errno(), "the filter was not taken")
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
