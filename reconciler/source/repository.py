"""A site in a Git repository: a bare mirror, never a checkout, blobs from the object database.

A merge request is untrusted input. So git runs with a rebuilt environment, without hooks, filters, submodules or
other transports, with constant arguments, and only regular files under the site's folders are read.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from git import Git, GitCmdObjectDB, Repo
from git.exc import GitCommandError, GitCommandNotFound

from reconciler.errors import SourceError
from reconciler.source.folder import MAXIMUM_FILE_BYTES, SITE_FOLDERS

_REGULAR_MODES = ("100644", "100755")
_SITE_PREFIXES = ("state/", "")
_FETCH_SECONDS = 120
_OPTIONS = (
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.fsmonitor=false",
    "-c", "fetch.fsckObjects=true",
    "-c", "gc.auto=0",
    "-c", "protocol.version=2",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One commit's site: its id and `{path relative to the site: content}`."""

    commit: str
    files: dict[str, bytes]


def read_repository(url: str, branch: str, mirror: Path) -> Snapshot:
    """Fetch a branch into the bare mirror and read the site of its newest commit.

    Raises `SourceError`: the remote does not answer, the branch is not there, the tree holds something odd.
    """
    git = _git(mirror, url)
    reference = f"refs/heads/{branch}"
    _run(git, "fetch", "--no-tags", "--no-recurse-submodules", "--prune", "--end-of-options", url,
         f"+{reference}:{reference}", what=f"fetch {branch} of {url}")  # fmt: skip
    commit = _run(git, "rev-parse", "--verify", "--end-of-options", f"{reference}^{{commit}}", what=f"find {branch}")
    return Snapshot(commit, _read_commit(git, mirror, commit))


def _git(mirror: Path, url: str) -> Git:
    try:
        mirror.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SourceError(f"the mirror {mirror} cannot be made ({error.strerror}); nothing was done") from error
    git = Git(mirror)
    git.update_environment(**_environment(url))
    if not (mirror / "HEAD").exists():
        _run(git, "init", "--quiet", "--bare", "--template=", what="make the mirror")
    return git


def _environment(url: str) -> dict[str, str]:
    """Nothing of the user's or the system's configuration; files only where the operator's own URL is one."""
    local = url.startswith(("/", "file://", "."))
    unset = {name: "" for name in os.environ if name.startswith("GIT_") and name != "GIT_SSH_COMMAND"}
    for name in unset:
        os.environ.pop(name, None)
    return {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ALLOW_PROTOCOL": "file:https:ssh" if local else "https:ssh",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }


def _run(git: Git, *arguments: str, what: str) -> str:
    try:
        output = git.execute(
            ["git", *_OPTIONS, *arguments], kill_after_timeout=_FETCH_SECONDS, strip_newline_in_stdout=True
        )
    except GitCommandNotFound as error:
        raise SourceError("the program git is not installed; nothing was done") from error
    except GitCommandError as error:
        reason = str(error.stderr).replace("stderr:", "").strip().strip("'").strip() or f"exit code {error.status}"
        raise SourceError(
            f"git could not {what}: {reason.splitlines()[-1]}; nothing was done",
            hint="look at the URL, the branch, and the rights of this host's key",
        ) from error
    return str(output)


def _read_commit(git: Git, mirror: Path, commit: str) -> dict[str, bytes]:
    listing = _run(git, "ls-tree", "-r", "-l", "-z", "--full-tree", commit, what="list the commit's files")
    entries = [_entry(line) for line in listing.split("\0") if line]
    paths = {path for _, _, _, path in entries}
    prefix = next((p for p in _SITE_PREFIXES if f"{p}site.yaml" in paths), None)
    if prefix is None:
        raise SourceError(
            f"commit {commit[:12]} has no site: neither state/site.yaml nor site.yaml; nothing was done",
            hint="the site is the folder state/ of the repository, or its top",
        )
    database = Repo(mirror, odbt=GitCmdObjectDB).odb
    files: dict[str, bytes] = {}
    for mode, object_id, size, path in entries:
        name = path.removeprefix(prefix)
        if not path.startswith(prefix) or not (
            name == "site.yaml" or name.startswith(tuple(f"{f}/" for f in SITE_FOLDERS))
        ):
            continue
        if mode not in _REGULAR_MODES or int(size) > MAXIMUM_FILE_BYTES:
            raise SourceError(
                f"{path} in commit {commit[:12]} is no regular file of at most {MAXIMUM_FILE_BYTES} bytes "
                f"(mode {mode}); nothing was done",
                hint="a site holds plain files only: no links, no submodules",
            )
        files[name] = database.stream(bytes.fromhex(object_id)).read()
    return files


def _entry(line: str) -> tuple[str, str, str, str]:
    """`mode, object id, size, path` of one line of ls-tree -l."""
    attributes, path = line.split("\t", 1)
    mode, _kind, object_id, size = attributes.split()
    return mode, object_id, size, path
