"""A site in a folder: the working tree of an author, or of a test."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import SourceError, printable
from reconciler.source.snapshot import Snapshot

if TYPE_CHECKING:
    from reconciler.model.problem import Oddity

MAXIMUM_FILE_BYTES = 1 << 20
SITE_FOLDERS = ("guests", "filters", "domains")
_NO_FILE = (errno.ELOOP, errno.ENXIO)
"""What opening a symlink or a socket says."""


def read_folder(site: Path) -> dict[str, bytes]:
    """`{path relative to the site: content}` of site.yaml and the site's folders.

    Raises `SourceError` when the folder is no site, and for a symlink or another odd file: what a checkout
    follows, a commit read from the object database does not.
    """
    snapshot = look_at_folder(site)
    for oddity in snapshot.odd:
        raise SourceError(f"{oddity.message} (in {site}); nothing was done", hint="a site holds plain files only")
    return snapshot.files


def look_at_folder(site: Path) -> Snapshot:
    """The same, with odd files told instead of refused. Raises `SourceError` when the folder is no site."""
    if not (site / "site.yaml").is_file():
        raise SourceError(
            f"{site} is not a site: it has no site.yaml; nothing was done",
            hint="name the site's folder with --site, or its repository with --repo",
        )
    folders = [name for name in SITE_FOLDERS if (site / name).is_dir()]
    files: dict[str, bytes] = {}
    odd: list[Oddity] = []
    for name in ("site.yaml", *(inner for folder in folders for inner in _names(site, folder))):
        found = _content(f"{site}/{name}", name)
        if isinstance(found, bytes):
            files[name] = found
        else:
            odd.append(found)
    return Snapshot(str(site), files, tuple(odd))


def _names(site: Path, folder: str) -> Iterator[str]:
    """Of all that is below a folder and is none itself; a symlink to one is none."""
    try:
        with os.scandir(f"{site}/{folder}") as found:
            entries = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in found)
    except OSError as error:
        raise _unreadable(f"{site}/{folder}", error) from error
    for name, is_folder in entries:
        inner = f"{folder}/{name}"
        yield from _names(site, inner) if is_folder else (inner,)


def _content(path: str, name: str) -> bytes | Oddity:
    """Opened once: what is looked at is what is read, whatever takes its place meanwhile."""
    if not name.isprintable():
        return _oddity(printable(name), "odd-file", "the name holds characters that cannot be seen")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                return _oddity(name, "odd-file", f"{name} is no regular file")
            if found.st_size > MAXIMUM_FILE_BYTES:
                return _oddity(name, "file-too-large", f"{name} is larger than {MAXIMUM_FILE_BYTES} bytes")
            return file.read()
    except OSError as error:
        if error.errno in _NO_FILE:
            return _oddity(name, "odd-file", f"{name} is no regular file")
        raise _unreadable(path, error) from error


def _oddity(path: str, id: str, message: str) -> Oddity:
    from reconciler.model.problem import Oddity

    return Oddity(path, id, message)


def _unreadable(path: str, error: OSError) -> SourceError:
    return SourceError(f"{path} cannot be read ({error.strerror}); nothing was done")
