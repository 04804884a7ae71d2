"""A site in a folder: the working tree of an author, or of a test."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from reconciler.errors import SourceError, printable
from reconciler.model.problem import Oddity
from reconciler.source.snapshot import Snapshot

MAXIMUM_FILE_BYTES = 1 << 20
SITE_FOLDERS = ("guests", "filters", "domains")


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
    paths = ["site.yaml"]
    for folder in SITE_FOLDERS:
        if (site / folder).is_dir():
            paths += sorted(_below(site, folder), key=lambda path: path.split("/"))
    files: dict[str, bytes] = {}
    odd: list[Oddity] = []
    for path in paths:
        found = _content(site, path)
        if isinstance(found, Oddity):
            odd.append(found)
        else:
            files[path] = found
    return Snapshot(str(site), files, tuple(odd))


def _below(site: Path, folder: str) -> Iterator[str]:
    """What is in a folder of the site and no folder itself: a link to one is an odd file."""
    with suppress(PermissionError), os.scandir(site / folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _below(site, f"{folder}/{entry.name}")
            else:
                yield f"{folder}/{entry.name}"


def _content(site: Path, name: str) -> bytes | Oddity:
    if not name.isprintable():
        return Oddity(printable(name), "odd-file", "the name holds characters that cannot be seen")
    path = f"{site}/{name}"
    try:
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode):
            return Oddity(name, "odd-file", f"{name} is no regular file")
        if found.st_size > MAXIMUM_FILE_BYTES:
            return Oddity(name, "file-too-large", f"{name} is larger than {MAXIMUM_FILE_BYTES} bytes")
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            return file.read()
    except OSError as error:
        raise SourceError(f"{site / name} cannot be read ({error.strerror}); nothing was done") from error
