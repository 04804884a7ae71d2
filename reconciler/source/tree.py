"""The site in one commit's tree, read from the object database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.errors import SourceError, printable
from reconciler.git.commands import Commands
from reconciler.model.problem import Oddity
from reconciler.source.folder import MAXIMUM_FILE_BYTES, SITE_FOLDERS
from reconciler.source.snapshot import Snapshot

SITE_PREFIXES = ("state/", "")
MAXIMUM_FILES = 20_000
MAXIMUM_TREE_BYTES = 4 << 20
MAXIMUM_SITE_BYTES = 256 << 20
_FOLDER = "040000"
_REGULAR_MODES = ("100644", "100755")
_KINDS = {"120000": "a symbolic link", "160000": "a submodule", _FOLDER: "a folder"}
_PLAIN = "a site holds plain files only"


class NoSite(SourceError):
    """A commit without a site.yaml where one is looked for."""


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: str
    object_id: str
    size: str
    path: str


def read_tree(commands: Commands, commit: str, prefixes: Iterable[str] = SITE_PREFIXES) -> Snapshot:
    """The site under the first of `prefixes` that has one; `commit` may be a tree as well.

    What is no plain file of a sane size is not read, and told in `odd`. Folders of a site hold no folders, so trees
    are listed without recursion: a few objects can otherwise unfold to any number of paths. Raises `SourceError`
    when there is no site, or more of it than any host could need.
    """
    prefix = _prefix(commands, commit, tuple(prefixes))
    entries = _list(commands, commit, prefix)
    odd = {entry.path: oddity for entry in entries if (oddity := _oddity(entry))}
    plain = [entry for entry in entries if entry.path not in odd]
    if len(plain) > MAXIMUM_FILES or sum(int(entry.size) for entry in plain) > MAXIMUM_SITE_BYTES:
        raise SourceError(f"commit {commit[:12]} has more files than any site needs; nothing was done")
    contents = commands.blobs([entry.object_id for entry in plain])
    files = {entry.path: content for entry, content in zip(plain, contents, strict=True)}
    return Snapshot(commit, files, tuple(odd.values()), prefix)


def _prefix(commands: Commands, commit: str, prefixes: tuple[str, ...]) -> str:
    """Where the site is, after a look at the size of its trees; one `cat-file --batch-check` answers all."""
    asked = [f"{prefix}{name}" for prefix in prefixes for name in ("site.yaml", *SITE_FOLDERS)]
    given = "".join(f"{commit}:{path}\n" for path in asked).encode()
    answers = commands.run("cat-file", "--batch-check", what="look at the commit", stdin=given).splitlines()
    found = dict(zip(asked, answers, strict=True))
    prefix = next((p for p in prefixes if not found[f"{p}site.yaml"].endswith(" missing")), None)
    if prefix is None:
        raise NoSite(
            f"commit {commit[:12]} has no site: no site.yaml in {' or '.join(p or 'its top' for p in prefixes)}; "
            "nothing was done",
            hint="the site is the folder state/ of the repository, or its top",
        )
    for folder in SITE_FOLDERS:
        _, _, rest = found[f"{prefix}{folder}"].partition(" ")
        kind, _, size = rest.partition(" ")
        if kind == "tree" and int(size) > MAXIMUM_TREE_BYTES:
            raise SourceError(f"{prefix}{folder} in commit {commit[:12]} has too many files; nothing was done")
    return prefix


def _list(commands: Commands, commit: str, prefix: str) -> list[_Entry]:
    """What is in the site's folders, or in the place of one: with a slash git lists a folder's entries, without it what
    is no folder."""
    words = [f"{prefix}{name}" for folder in SITE_FOLDERS for name in (folder, f"{folder}/")] + [f"{prefix}site.yaml"]
    what = "list the commit's files"
    listing = commands.output("ls-tree", "-l", "-z", "--full-tree", commit, "--", *words, what=what)
    lines = listing.decode("utf-8", "surrogateescape").split("\0")
    return [_entry(line, prefix) for line in lines if line]


def _oddity(entry: _Entry) -> Oddity | None:
    if entry.path != printable(entry.path):
        return Oddity(printable(entry.path), "odd-file", "the name holds characters that cannot be seen")
    if entry.mode not in _REGULAR_MODES:
        kind = _KINDS.get(entry.mode, f"of mode {entry.mode}")
        return Oddity(entry.path, "odd-file", f"{entry.path} is {kind}; {_PLAIN}")
    if int(entry.size) > MAXIMUM_FILE_BYTES:
        return Oddity(entry.path, "file-too-large", f"{entry.path} is larger than {MAXIMUM_FILE_BYTES} bytes")
    return None


def _entry(line: str, prefix: str) -> _Entry:
    attributes, path = line.split("\t", 1)
    mode, _kind, object_id, size = attributes.split()
    return _Entry(mode, object_id, size, path.removeprefix(prefix))
