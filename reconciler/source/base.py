"""The site as another commit of the author's own repository has it: what a merge request is compared with."""

from __future__ import annotations

from pathlib import Path

from reconciler.errors import SourceError
from reconciler.git.commands import Commands
from reconciler.source.snapshot import Snapshot
from reconciler.source.tree import NoSite, read_tree


def read_base(site: Path, reference: str) -> Snapshot:
    """The site of `reference` in the repository that the folder `site` is part of; one without a guest where there was
    none yet.

    Raises `SourceError` when the folder is in no repository, or the reference is no commit of it.
    """
    commands = Commands(site, own=True)
    hint = "--base needs the site's folder to be in a git repository"
    prefix = commands.run("rev-parse", "--show-prefix", what=f"find the repository of {site}", hint=hint)
    if reference.startswith("-"):
        raise SourceError(f"{reference!r} is no commit; nothing was done")
    words = ("rev-parse", "--verify", "--end-of-options", f"{reference}^{{commit}}")
    found, _ = commands.succeeds(*words, what=f"find the commit {reference}")
    if not found:
        raise _unknown(reference, commands)
    commit = commands.run(*words, what=f"find the commit {reference}")
    try:
        return read_tree(commands, commit, prefixes=(prefix,))
    except NoSite:
        return Snapshot(commit, {"site.yaml": b"{}\n"}, prefix=prefix)


def _unknown(reference: str, commands: Commands) -> SourceError:
    """Often it is there, and was left out of the copy that a CI has made."""
    is_shallow = commands.run("rev-parse", "--is-shallow-repository", what="look at the repository") == "true"
    hint = "this clone is shallow: fetch its history (`git fetch --unshallow`; in a CI depth 0)" if is_shallow else ""
    return SourceError(f"the repository has no commit {reference}; nothing was done", hint=hint or "see `git log`")


def messages_since(site: Path, commit: str) -> str:
    """The messages of the commits that lead from `commit` to what is checked out, newest first."""
    words = ("log", "--format=%B", f"{commit}..HEAD")
    return Commands(site, own=True).run(*words, what="read the commits' messages")
