"""Answers that are kept because they cost much to find, and are safe to delete.

An entry's name is a digest of all that the answer depends on. An entry that is not whole, not ours alone to write, or
of anything else is no entry: then the answer is found as ever.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

_KEPT = 4


def read_kept(folder: Path, key: str) -> bytes | None:
    """What is kept under that key, or None where there is no entry that can be trusted."""
    try:
        if not _is_ours_alone(folder.lstat()):
            return None
        descriptor = os.open(folder / key, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or not _is_ours_alone(found):
                return None
            head, _, body = file.read().partition(b"\n")
    except OSError:
        return None
    return body if head == _head(key, body) else None


def write_kept(folder: Path, key: str, body: bytes) -> None:
    """Keep it, and the newest others of the folder. Where that cannot be done nothing is kept, nor said."""
    draft = folder / f".{key}.{os.getpid()}"
    with suppress(OSError):
        if not folder.parent.is_dir():
            return
        folder.mkdir(exist_ok=True, mode=0o700)
        if not _is_ours_alone(folder.lstat()):
            return
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(_head(key, body) + b"\n" + body)
            draft.replace(folder / key)
        finally:
            draft.unlink(missing_ok=True)
        _forget_oldest(folder)


def _head(key: str, body: bytes) -> bytes:
    digest = sha256(key.encode())
    digest.update(body)
    return digest.hexdigest().encode()


def _is_ours_alone(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077


def _forget_oldest(folder: Path) -> None:
    newest_first = sorted(folder.iterdir(), key=lambda path: path.lstat().st_mtime_ns, reverse=True)
    for path in newest_first[_KEPT:]:
        path.unlink(missing_ok=True)
