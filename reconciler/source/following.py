"""Which commit a host follows, and whether it may: found in the mirror, verified, never guessed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from reconciler.errors import RefusedCommit, SourceError, UsageError
from reconciler.git.access import Access
from reconciler.source.mirror import Mirror, alone
from reconciler.source.signatures import Signers
from reconciler.source.snapshot import Snapshot
from reconciler.source.tree import read_tree


class Signature(StrEnum):
    """What has to be signed by an allowed signer."""

    NONE = "none"
    COMMIT = "commit"
    TAG = "tag"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Following:
    """What a host follows: one of a branch, a pattern of tags (the highest version counts) or a full ref.

    `signers` (SSH) and `keyring` (OpenPGP) are files of the host: a repository never says who may sign it.
    """

    access: Access
    branch: str | None = "main"
    tags: str | None = None
    ref: str | None = None
    signature: Signature = Signature.NONE
    signers: Path | None = None
    keyring: Path | None = None

    @property
    def called(self) -> str:
        """In messages and records: what is followed."""
        return self.ref or (f"tags {self.tags}" if self.tags else f"{self.branch}")

    @property
    def pattern(self) -> str:
        return self.ref or (f"refs/tags/{self.tags}" if self.tags else f"refs/heads/{self.branch}")

    @property
    def refspec(self) -> str:
        return f"+{self.pattern}:{self.pattern}"


@dataclass(frozen=True, slots=True)
class Known:
    """What this host remembers: the commit that it verified last, and those that a new one has to descend from."""

    verified: str | None = None
    applied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Candidate:
    commit: str
    tag: str | None
    name: str


def fetch_verified(following: Following, folder: Path, known: Known, *, allow_rewind: bool = False) -> str:
    """Fetch, choose, verify: the commit that may be read and applied.

    Raises `SourceError` when the remote cannot be asked, `RefusedCommit` when it has a commit that is not to be
    applied: not signed as demanded, or not a descendant of what was applied.
    """
    _require_signers(following)
    with alone(folder):
        mirror = _mirror(following, folder)
        mirror.fetch()
        candidate = _newest(mirror, following)
        if candidate.commit != known.verified:
            mirror = _sound(mirror)
        _require_signature(mirror, following, candidate, folder.parent / "gnupg")
        if not allow_rewind:
            _require_descent(mirror, candidate, known.applied)
        return candidate.commit


def read_commit(following: Following, folder: Path, commit: str) -> Snapshot:
    """The site of a verified commit, without asking the remote. Raises `SourceError` if the mirror lost it."""
    with alone(folder):
        return read_tree(_mirror(following, folder).commands, commit)


def ask_remote(following: Following, folder: Path) -> str:
    """What the remote says that it has, without fetching it. Raises as `fetch_verified` does."""
    _require_signers(following)
    with alone(folder):
        mirror = _mirror(following, folder)
        words = ("ls-remote", "--sort=-version:refname", "--end-of-options", following.access.url, following.pattern)
        what = f"ask {following.access.url} for {following.called}"
        lines = mirror.commands.run(*words, what=what, deadline=following.access.deadline).splitlines()
    if not lines:
        raise SourceError(f"{following.access.url} has no {following.called}")
    return lines[0].split()[0]


def known_descent(following: Following, folder: Path, commit: str, ancestor: str) -> bool:
    """Whether a commit that the mirror has descends from another. `commit` is anybody's word: no id is no."""
    if len(commit) not in (40, 64) or not set(commit) <= set("0123456789abcdef"):
        return False
    with alone(folder):
        mirror = _mirror(following, folder)
        return mirror.has(commit) and mirror.descends(commit, ancestor)


def _mirror(following: Following, folder: Path) -> Mirror:
    return Mirror(folder, following.access, following.refspec, following.called)


def _require_signers(following: Following) -> None:
    if following.signature in (Signature.TAG, Signature.BOTH) and not following.tags:
        raise UsageError(
            f"signature: {following.signature} needs tags to follow; nothing was done",
            hint="name a pattern as `tags` in the configuration, or take `signature: commit`",
        )
    if following.signature is not Signature.NONE and following.signers is None and following.keyring is None:
        raise UsageError(
            f"signature: {following.signature} needs to know who may sign; nothing was done",
            hint="name an SSH allowed-signers file as `signers`, or an OpenPGP keyring as `keyring`",
        )


def _newest(mirror: Mirror, following: Following) -> _Candidate:
    form = "--format=%(objectname) %(objecttype) %(*objectname) %(*objecttype) %(refname)"
    words = ("-c", "versionsort.suffix=-", "for-each-ref", "--sort=-version:refname", form, following.pattern)
    lines = mirror.commands.run(*words, what=f"find {following.called}").splitlines()
    if not lines:
        raise SourceError(
            f"{following.access.url} has no {following.called}; nothing was done",
            hint="the configuration of this host names the branch, tags or ref that it follows",
        )
    object_id, kind, peeled, peeled_kind, name = lines[0].split(" ", 4)
    if kind == "commit":
        return _Candidate(object_id, None, name)
    if kind == "tag" and peeled_kind == "commit":
        return _Candidate(peeled, object_id, name)
    raise RefusedCommit(f"{following.called} is refused: it is no commit, but a {peeled_kind or kind}")


def _sound(mirror: Mirror) -> Mirror:
    """A mirror whose objects were all looked at; one that holds bad ones from earlier is fetched anew."""
    if mirror.needs_renewal():
        return mirror.renewed()
    try:
        mirror.require_sound()
    except SourceError:
        return mirror.renewed()
    return mirror


def _require_signature(mirror: Mirror, following: Following, candidate: _Candidate, home: Path) -> None:
    if following.signature is Signature.NONE:
        return
    signers = Signers(following.signers, following.keyring, home)
    if following.signature in (Signature.TAG, Signature.BOTH):
        _require_own_tag(mirror, candidate)
        assert candidate.tag is not None
        signers.require_tag(mirror.commands, candidate.tag, candidate.name)
    if following.signature in (Signature.COMMIT, Signature.BOTH):
        signers.require_commit(mirror.commands, candidate.commit)


def _require_own_tag(mirror: Mirror, candidate: _Candidate) -> None:
    """A signed tag says its own name: under another one it would be replayed for what its signer did not mean."""
    if candidate.tag is None:
        raise RefusedCommit(f"{candidate.name} is refused: it is no annotated tag, so nobody can have signed it")
    lines = mirror.commands.run("cat-file", "tag", candidate.tag, what="read the tag").splitlines()
    named = next((line.removeprefix("tag ") for line in lines if line.startswith("tag ")), "")
    if candidate.name != f"refs/tags/{named}":
        raise RefusedCommit(f"{candidate.name} is refused: its signature is for the tag {named!r}")


def _require_descent(mirror: Mirror, candidate: _Candidate, applied: tuple[str, ...]) -> None:
    for commit in applied:
        if commit != candidate.commit and not mirror.descends(candidate.commit, commit):
            raise RefusedCommit(
                f"commit {candidate.commit[:12]} of {candidate.name} is refused: it does not descend from "
                f"{commit[:12]}, which was applied here, so the history was rewound or replaced; it was not applied",
                hint="when that is meant, apply it by hand: `reconciler apply --allow-rewind`",
            )
