"""Which commit is in force: the newest one that may be, else the last one that was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from reconciler.errors import HostTimeout, RefusedCommit, SourceError
from reconciler.records.commits import (
    Verified,
    begin,
    finish,
    read_applied,
    read_verified,
    rewind,
    write_verified,
)
from reconciler.settings import Settings

if TYPE_CHECKING:
    from reconciler.git.access import Access
    from reconciler.model.outcome import Execution
    from reconciler.model.plan import Plan
    from reconciler.source.following import Following
    from reconciler.source.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class InForce:
    """A commit. When the remote did not answer, `stale_since` says since when; `trouble` is the reason.

    `refused` tells that the remote did answer, with a commit that must not be applied.
    """

    commit: str
    stale_since: datetime | None = None
    trouble: SourceError | None = None

    @property
    def refused(self) -> bool:
        return isinstance(self.trouble, RefusedCommit)


def read_pinned(settings: Settings) -> Snapshot:
    """The site of a commit that was verified before; the remote is not asked."""
    from reconciler.source.following import read_commit

    assert settings.commit is not None
    return read_commit(following(settings), settings.var / "mirror", settings.commit)


def newest(settings: Settings) -> Snapshot:
    """The site of the newest commit. Raises `SourceError` when the remote cannot be asked, or its commit is refused."""
    return read_pinned(settings._replace(commit=_newest_commit(settings)))


def _newest_commit(settings: Settings) -> str:
    from reconciler.source.following import Known, fetch_verified

    wanted = following(settings)
    verified = _verified(settings, wanted)
    known = Known(verified.commit if verified else None, read_applied(settings.var).commits)
    allow = settings.git.allow_rewind
    commit = fetch_verified(wanted, settings.var / "mirror", known, allow_rewind=allow)
    write_verified(settings.var, wanted.access.url, _demand(wanted), commit)
    if allow:
        rewind(settings.var, commit)
    return commit


def pinned(settings: Settings) -> tuple[Settings, SourceError | None]:
    """For those who only look: settings of the commit in force, and why it is not the newest one, if it is not."""
    if settings.repository is None or settings.commit is not None:
        return settings, None
    held = in_force(settings)
    return settings._replace(commit=held.commit), held.trouble


def in_force(settings: Settings) -> InForce:
    """The newest commit, or with the remote down or a bad commit on it, the last one that was verified here.

    Raises `SourceError` where there is none yet.
    """
    try:
        return InForce(_newest_commit(settings))
    except SourceError as trouble:
        last = _verified(settings, following(settings))
        if last is None:
            raise
        stale = None if isinstance(trouble, RefusedCommit) else last.asked
        return InForce(last.commit, stale, trouble)


@dataclass(slots=True)
class Outcome:
    """How the steps of a commit ended; until somebody says so they may have been taken or not.

    A commit of which an address waits for another host is not applied: the site before it says who had the address.
    """

    applied: bool = False
    known: bool = False

    def take(self, plan: Plan, execution: Execution | None) -> None:
        from reconciler.model.plan import WaitReason

        self.applied = execution is None or execution.ok
        unknown = execution is not None and (execution.unreverted or isinstance(execution.error, HostTimeout))
        self.known = not unknown and not any(each.why is WaitReason.RELEASE for each in plan.waiting)


@contextmanager
def applying(settings: Settings, commit: str) -> Iterator[Outcome]:
    """Remember, before the first step and after the last, which commit a repository's host is brought to."""
    outcome = Outcome()
    if settings.repository is None:
        yield outcome
        return
    begin(settings.var, commit)
    yield outcome
    if outcome.known:
        finish(settings.var, commit, applied=outcome.applied)


def _verified(settings: Settings, wanted: Following) -> Verified | None:
    return read_verified(settings.var, wanted.access.url, _demand(wanted))


def _demand(wanted: Following) -> str:
    """What was followed under which demand: what passed a weaker one is not verified."""
    return f"{wanted.called}, signature {wanted.signature}"


def last_asked(settings: Settings) -> datetime | None:
    """When the repository last answered with a commit that passed every check."""
    if settings.repository is None:
        return None
    last = _verified(settings, following(settings))
    return last.asked if last else None


def remote_answers(settings: Settings, seconds: float) -> bool:
    """Whether the repository is on another machine, and answers. A local one cannot be cut off."""
    if settings.repository is None:
        return False
    from reconciler.source.following import ask_remote

    wanted = following(settings)
    if wanted.access.is_local:
        return False
    try:
        ask_remote(replace(wanted, access=replace(wanted.access, deadline=seconds)), settings.var / "mirror")
    except SourceError:
        return False
    return True


def descends(settings: Settings, commit: str, ancestor: str) -> bool:
    """Whether a commit that another host named descends from one of ours, as far as the mirror knows it."""
    from reconciler.source.following import known_descent

    return known_descent(following(settings), settings.var / "mirror", commit, ancestor)


def access(settings: Settings) -> Access:
    from reconciler.git.access import Access

    git = settings.git
    assert settings.repository is not None
    return Access(
        settings.repository, git.token, git.token_user, git.ssh_key, git.known_hosts, git.ca_file, git.timeout
    )


def following(settings: Settings) -> Following:
    from reconciler.source.following import Following, Signature

    git = settings.git
    branch = None if git.tags or git.ref else settings.branch
    return Following(access(settings), branch, git.tags, git.ref, Signature(git.signature), git.signers, git.keyring)
