"""A bare repository of our own, in which reports are made and from which they are pushed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from reconciler.errors import PublishError, SourceError
from reconciler.git.access import Access
from reconciler.git.bare import open_bare
from reconciler.git.commands import Commands

_Result = TypeVar("_Result")
MOST_PACKS = 50
MOST_BYTES = 4 << 20


class ReportRepository:
    """Objects and refs under `folder`; `access` says where they are pushed to, and with which rights."""

    def __init__(self, folder: Path, access: Access, host: str) -> None:
        self._url = access.url
        self._environment = {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in (("NAME", "nwfilter-reconciler"), ("EMAIL", f"reconciler@{host}"))
        }
        self._folder = folder
        self._access = access
        self._opened: Commands | None = None

    @property
    def _commands(self) -> Commands:
        """Made when it is first needed: what goes wrong then is a matter of publishing.

        Every report leaves objects behind, and all that counts is on the remote: so now and then it is made anew.
        """
        if self._opened is None:
            if sum(1 for _ in (self._folder / "objects/pack").glob("*.pack")) > MOST_PACKS:
                shutil.rmtree(self._folder)
            self._opened = open_bare(self._folder, self._access, self._environment)
        return self._opened

    def remote(self, reference: str) -> str | None:
        """What the remote has under a ref now, fetched; None where it has nothing."""
        what = f"ask {self._url} for reports"
        line = self._commands.run("ls-remote", "--end-of-options", self._url, reference, what=what)
        if not line:
            return None
        found = line.split()[0]
        if not set(found) <= set("0123456789abcdef"):
            raise PublishError(f"{self._url} does not answer as a Git server")
        local = fetched(reference)
        options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--end-of-options")
        self._commands.run("fetch", *options, self._url, f"+{reference}:{local}", what="fetch earlier reports")
        return found

    def fetch_all(self, pattern: str) -> None:
        """Everything that the remote has under a pattern of refs, in one go; `fetched` names it here."""
        options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--prune")
        words = ("fetch", *options, "--end-of-options", self._url, f"+{pattern}:{fetched(pattern)}")
        self._commands.run(*words, what="fetch the reports of other hosts")

    def entries(self, tree: str) -> dict[str, tuple[str, str]]:
        """`{name: (mode and kind, object id)}` of a tree, which may be `COMMIT` or `COMMIT:folder`; none if absent."""
        listed = self._commands.run("ls-tree", "-z", "--full-tree", tree, what="read earlier reports")
        pairs = (line.split("\t", 1) for line in listed.split("\0") if line)
        return {name: (head.rpartition(" ")[0], head.rpartition(" ")[2]) for head, name in pairs}

    def content(self, name: str) -> str | None:
        """The text of `COMMIT:path`; None for none, and for one that is larger than any report."""
        what = "read a host's report"
        told = self._commands.run("cat-file", "--batch-check", what=what, stdin=f"{name}\n".encode()).split()
        if len(told) != 3 or told[1] != "blob" or int(told[2]) > MOST_BYTES:
            return None
        return self._commands.blobs([told[0]])[0].decode("utf-8", "replace")

    def blob(self, text: str) -> str:
        return self._commands.run("hash-object", "-w", "--stdin", what="write a report", stdin=text.encode())

    def tree(self, entries: dict[str, tuple[str, str]]) -> str:
        lines = "".join(f"{head} {object_id}\t{name}\0" for name, (head, object_id) in sorted(entries.items()))
        return self._commands.run("mktree", "-z", what="write a report", stdin=lines.encode())

    def commit(self, tree: str, message: str, parent: str | None = None) -> str:
        words = ("commit-tree", *(("-p", parent) if parent else ()), tree)
        return self._commands.run(*words, what="write a report", stdin=message.encode())

    def push(self, commit: str, reference: str, expected: str | None) -> None:
        """Push if the remote still has what was expected there: nobody's report is lost unseen."""
        lease = f"--force-with-lease={reference}:{expected or ''}"
        words = ("push", "--quiet", "--no-verify", lease, "--end-of-options", self._url, f"{commit}:{reference}")
        hint = "look at the rights of this host's key or token: it has to push its reports"
        self._commands.run(*words, what=f"push the report to {self._url}", hint=hint)


def fetched(reference: str) -> str:
    return f"refs/fetched/{reference.removeprefix('refs/')}"


def as_publish_error(action: Callable[[], _Result]) -> _Result:
    """What goes wrong with git while publishing is no reason to doubt what was applied."""
    try:
        return action()
    except SourceError as error:
        raise PublishError(error.message.replace("; nothing was done", ""), hint=error.hint) from error
