"""A site in a folder: the working tree of an author, or of a test."""

from __future__ import annotations

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
    folders = [site / name for name in SITE_FOLDERS if (site / name).is_dir()]
    paths = [site / "site.yaml", *(path for folder in folders for path in sorted(folder.rglob("*")))]
    files: dict[str, bytes] = {}
    odd: list[Oddity] = []
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            continue
        name = path.relative_to(site).as_posix()
        found = _content(path, name)
        if isinstance(found, Oddity):
            odd.append(found)
        else:
            files[name] = found
    return Snapshot(str(site), files, tuple(odd))


def _content(path: Path, name: str) -> bytes | Oddity:
    if name != printable(name):
        return Oddity(printable(name), "odd-file", "the name holds characters that cannot be seen")
    if path.is_symlink() or not path.is_file():
        return Oddity(name, "odd-file", f"{name} is no regular file")
    try:
        if path.stat().st_size > MAXIMUM_FILE_BYTES:
            return Oddity(name, "file-too-large", f"{name} is larger than {MAXIMUM_FILE_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}); nothing was done") from error
