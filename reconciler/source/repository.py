"""A site in a Git repository: fetched into a bare mirror, never checked out."""

from __future__ import annotations

from pathlib import Path

from reconciler.errors import SourceError
from reconciler.source.commands import Commands
from reconciler.source.tree import Snapshot, read_tree

_HINT = "look at the URL, the branch, and the rights of this host's key"


def read_repository(url: str, branch: str, mirror: Path) -> Snapshot:
    """Fetch a branch into the mirror and read the site of its newest commit.

    Raises `SourceError`: the remote does not answer, the branch is not there, the tree holds something odd.
    """
    commands = _mirror_commands(mirror, url)
    reference = f"refs/heads/{branch}"
    options = ("--no-tags", "--no-recurse-submodules", "--prune", "--end-of-options")
    commands.run("fetch", *options, url, f"+{reference}:{reference}", what=f"fetch {branch} of {url}", hint=_HINT)
    commit = commands.run("rev-parse", "--verify", "--end-of-options", f"{reference}^{{commit}}", what=f"find {branch}")
    return read_tree(commands, commit)


def _mirror_commands(mirror: Path, url: str) -> Commands:
    """Files are read only where the operator's own URL is one; git then asks whether it trusts that folder's owner."""
    configuration = mirror.parent / "gitconfig"
    is_local = url.startswith(("/", "./", "../", "file:///"))
    try:
        mirror.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = url.removeprefix("file://")
        configuration.write_text(f"[safe]\n\tdirectory = {_quoted(path)}\n\tdirectory = {_quoted(path + '/.git')}\n")
    except OSError as error:
        raise SourceError(f"the mirror {mirror} cannot be made ({error.strerror}); nothing was done") from error
    commands = Commands(mirror, configuration, "file:https:ssh" if is_local else "https:ssh")
    if not (mirror / "HEAD").exists():
        commands.run("init", "--quiet", "--bare", "--template=", what="make the mirror")
    return commands


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
