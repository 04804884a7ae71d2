"""The site in one commit's tree, read from the object database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.errors import SourceError
from reconciler.source.commands import Commands
from reconciler.source.folder import MAXIMUM_FILE_BYTES, SITE_FOLDERS

SITE_PREFIXES = ("state/", "")
_REGULAR_MODES = ("100644", "100755")
_FOLDERS = tuple(f"{folder}/" for folder in SITE_FOLDERS)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One commit's site: its id and `{path relative to the site: content}`."""

    commit: str
    files: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: str
    object_id: str
    size: str
    path: str


def read_tree(commands: Commands, commit: str, prefixes: Iterable[str] = SITE_PREFIXES) -> Snapshot:
    """The site under the first of `prefixes` that has one.

    Raises `SourceError` when none has, and for anything but regular files of a sane size in the site's folders.
    """
    listing = commands.run("ls-tree", "-r", "-l", "-z", "--full-tree", commit, what="list the commit's files")
    entries = [_entry(line) for line in listing.split("\0") if line]
    paths = {entry.path for entry in entries}
    prefix = next((prefix for prefix in prefixes if f"{prefix}site.yaml" in paths), None)
    if prefix is None:
        raise SourceError(
            f"commit {commit[:12]} has no site: no site.yaml in {' or '.join(p or 'its top' for p in prefixes)}; "
            "nothing was done",
            hint="the site is the folder state/ of the repository, or its top",
        )
    site = [entry for entry in entries if _belongs_to_site(entry.path, prefix)]
    for entry in site:
        _require_regular(entry, commit)
    contents = commands.blobs([entry.object_id for entry in site])
    return Snapshot(commit, {e.path.removeprefix(prefix): c for e, c in zip(site, contents, strict=True)})


def _belongs_to_site(path: str, prefix: str) -> bool:
    name = path.removeprefix(prefix)
    return path.startswith(prefix) and (name == "site.yaml" or name.startswith(_FOLDERS))


def _require_regular(entry: _Entry, commit: str) -> None:
    if entry.mode in _REGULAR_MODES and int(entry.size) <= MAXIMUM_FILE_BYTES:
        return
    raise SourceError(
        f"{entry.path} in commit {commit[:12]} is no regular file of at most {MAXIMUM_FILE_BYTES} bytes "
        f"(mode {entry.mode}); nothing was done",
        hint="a site holds plain files only: no links, no submodules",
    )


def _entry(line: str) -> _Entry:
    attributes, path = line.split("\t", 1)
    mode, _kind, object_id, size = attributes.split()
    return _Entry(mode, object_id, size, path)
