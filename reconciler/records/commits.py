"""Which commits this host has verified, begun and applied: what the next one has to descend from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from reconciler.errors import HostError
from reconciler.records.files import Record, read_record, write_record

_APPLIED = "applied.json"
_VERIFIED = "verified.json"


@dataclass(frozen=True, slots=True)
class Applied:
    """`commit` is the last one that was applied to its end, `begun` one whose steps may have been taken."""

    commit: str | None = None
    begun: str | None = None
    time: str = ""

    @property
    def commits(self) -> tuple[str, ...]:
        return tuple(commit for commit in (self.commit, self.begun) if commit)


@dataclass(frozen=True, slots=True)
class Verified:
    """The last commit of a remote that passed every check; `asked` is when the remote last answered with it."""

    url: str
    followed: str
    commit: str
    asked: datetime


def read_applied(var: Path) -> Applied:
    record = read_record(var / _APPLIED)
    if record is None:
        return Applied()
    return Applied(_commit(record, "commit"), _commit(record, "begun"), str(record.get("time", "")))


def begin(var: Path, commit: str) -> None:
    """Before the first step: a crash must not make the host forget that this commit may be in force."""
    applied = read_applied(var)
    if applied.begun != commit and applied.commit != commit:
        _write(var, Applied(applied.commit, commit))


def finish(var: Path, commit: str, *, applied: bool) -> None:
    """After the last step, or after everything was taken back. Writes nothing where nothing is new."""
    before = read_applied(var)
    after = commit if applied else before.commit
    if before.begun is not None or before.commit != after:
        _write(var, Applied(after))


def rewind(var: Path, commit: str) -> None:
    """Forget what a commit would have to descend from: somebody said that the history is meant to be another one."""
    before = read_applied(var)
    if before.commits not in ((), (commit,)):
        _write(var, Applied(commit))


def read_verified(var: Path, url: str, followed: str) -> Verified | None:
    """What was verified of this remote; of another one, or of another branch, nothing is known."""
    path = var / _VERIFIED
    record = read_record(path)
    if record is None or (record.get("url"), record.get("followed")) != (url, followed):
        return None
    commit = _commit(record, "commit")
    asked = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return Verified(url, followed, commit, asked) if commit else None


def write_verified(var: Path, url: str, followed: str, commit: str) -> None:
    """Also notes, by the file's own time, that the remote answered just now."""
    known = read_verified(var, url, followed)
    if known is not None and known.commit == commit:
        os.utime(var / _VERIFIED)
        return
    write_record(var / _VERIFIED, {"url": url, "followed": followed, "commit": commit})


def _write(var: Path, applied: Applied) -> None:
    time = datetime.now(UTC).isoformat(timespec="seconds")
    write_record(var / _APPLIED, {"commit": applied.commit, "begun": applied.begun, "time": time})


def _commit(record: Record, key: str) -> str | None:
    """An object id, and nothing else: it becomes a word of a git command."""
    found = record.get(key)
    if found is None:
        return None
    if isinstance(found, str) and len(found) in (40, 64) and set(found) <= set("0123456789abcdef"):
        return found
    raise HostError(f"the record of commits holds {found!r} as {key}, which is no commit; nothing was done")
