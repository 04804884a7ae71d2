"""Which program this is: what is kept from one run to the next is of no use to another one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from hashlib import sha256

_PACKAGE = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120 - a path of pathlib for each file takes longer
_INSTALLED = (".dist-info", ".egg-info")


@cache
def program_mark() -> bytes:
    """Changes with each of our own files, with Python, and with what else is installed for it.

    Of a file its size and times tell, as they do git; nobody can set when its inode changed last.
    """
    digest = sha256(sys.version.encode())
    for line in sorted({*_own_files(_PACKAGE), *_installed()}):
        digest.update(f"{line}\n".encode(errors="surrogateescape"))
    return digest.digest()


def _own_files(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                found = entry.stat()
                marks = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
                yield f"{entry.path} {marks}"
            elif entry.name != "__pycache__" and entry.is_dir():
                yield from _own_files(entry.path)


def _installed() -> Iterator[str]:
    for folder in sys.path:
        if os.path.isdir(folder):  # noqa: PTH112 - as above
            yield from (f"{folder} {name}" for name in os.listdir(folder) if name.endswith(_INSTALLED))  # noqa: PTH208
