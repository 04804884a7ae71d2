"""The repository that git runs us in as its hook: pushed objects that nobody has accepted yet, a commit being made."""

from __future__ import annotations

from pathlib import Path

from reconciler.git.commands import Commands, told_to_hook
from reconciler.source.snapshot import Snapshot
from reconciler.source.tree import SITE_PREFIXES, read_tree


class HookedRepository:
    """Reads what git tells its hook by the environment; ask before anything else has used git."""

    def __init__(self, folder: Path) -> None:
        self._commands = Commands(folder, own=True, told=told_to_hook())

    def config(self, key: str) -> tuple[str, ...]:
        """All values of a key in the repository's own configuration."""
        words = ("config", "--local", "--null", "--get-all", key)
        ok, _ = self._commands.succeeds(*words, what="read the configuration")
        found = self._commands.run(*words, what="read the configuration") if ok else ""
        return tuple(value for value in found.split("\0") if value)

    def default_branch(self) -> str:
        """The ref that HEAD names, whether there is a commit on it yet or not."""
        return self._commands.run("symbolic-ref", "HEAD", what="find the default branch")

    def commit_of(self, object_id: str) -> str | None:
        """The commit that a pushed object is or points to; None for one that is something else."""
        words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{object_id}^{{commit}}")
        ok, _ = self._commands.succeeds(*words, what="find the pushed commit")
        return self._commands.run(*words, what="find the pushed commit") if ok else None

    def descends(self, commit: str, ancestor: str) -> bool:
        return self._commands.succeeds("merge-base", "--is-ancestor", ancestor, commit, what="compare commits")[0]

    def staged_tree(self) -> str:
        """The tree that the next commit would have."""
        return self._commands.run("write-tree", what="read what is staged")

    def site(self, tree: str) -> Snapshot:
        """The site of a commit or a tree: in the folder that `reconciler.site` names, `state/`, or at its top.

        Raises `SourceError` when it has none.
        """
        named = self.config("reconciler.site")
        prefixes = (f"{named[0].strip('/')}/",) if named else SITE_PREFIXES
        return read_tree(self._commands, tree, tuple("" if prefix == "/" else prefix for prefix in prefixes))
