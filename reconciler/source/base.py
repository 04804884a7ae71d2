"""The site as another commit of the author's own repository has it: what a merge request is compared with."""

from __future__ import annotations

from pathlib import Path

from reconciler.errors import SourceError
from reconciler.git.commands import Commands
from reconciler.source.snapshot import Snapshot
from reconciler.source.tree import read_tree


def read_base(site: Path, reference: str) -> Snapshot:
    """The site of `reference` in the repository that the folder `site` is part of.

    Raises `SourceError` when the folder is in no repository, or the reference is no commit of it.
    """
    commands = Commands(site, own=True)
    prefix = commands.run("rev-parse", "--show-prefix", what=f"find the repository of {site}")
    if reference.startswith("-"):
        raise SourceError(f"{reference!r} is no commit; nothing was done")
    words = ("rev-parse", "--verify", "--end-of-options", f"{reference}^{{commit}}")
    commit = commands.run(*words, what=f"find the commit {reference}")
    return read_tree(commands, commit, prefixes=(prefix,))


def messages_since(site: Path, commit: str) -> str:
    """The messages of the commits that lead from `commit` to what is checked out, newest first."""
    words = ("log", "--format=%B", f"{commit}..HEAD")
    return Commands(site, own=True).run(*words, what="read the commits' messages")
