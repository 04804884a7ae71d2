"""What git's hooks do: look at a commit before it is made, at a push before it is accepted, and wake hosts after it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import HostError, SourceError, UsageError
from reconciler.host.processes import run
from reconciler.host.wake import wake
from reconciler.model.problem import Problem, Severity
from reconciler.source.hooked import HookedRepository
from reconciler.source.tree import NoSite

if TYPE_CHECKING:
    from reconciler.source.snapshot import Snapshot

MOST_PROBLEMS = 50
WAKE_SECONDS = 15.0
_REPORTS = "refs/heads/reports/"
_WAVES = "refs/waves/*"
_DESTINATION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]*")


@dataclass(frozen=True, slots=True)
class Update:
    """One line of a push: a ref, what it was and what it is to be; all zeros where there is nothing."""

    old: str
    new: str
    ref: str

    @property
    def deletes(self) -> bool:
        return not self.new.strip("0")

    @property
    def creates(self) -> bool:
        return not self.old.strip("0")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be told, and whether it is to be refused."""

    lines: tuple[str, ...] = ()
    refused: bool = False


def read_updates(lines: Iterable[bytes]) -> tuple[Update, ...]:
    """The lines that git gives to pre-receive and post-receive; names of refs are bytes of any kind."""
    return tuple(_update(line.decode("utf-8", "surrogateescape").rstrip("\n")) for line in lines if line.strip())


def _update(line: str) -> Update:
    words = line.split(" ", 2)
    if len(words) != 3:
        hint = "git runs this hook itself, and gives it a line OLD NEW REF for each ref"
        raise UsageError(f"{line!r} is no line of a push; nothing was done", hint=hint)
    return Update(*words)


def staged(folder: Path) -> Verdict:
    """The site as the next commit would have it; a repository without one is none of ours."""
    repository = HookedRepository(folder)
    try:
        site = repository.site(repository.staged_tree())
    except NoSite:
        return Verdict()
    return _examined(site)


def pushed(folder: Path, updates: Iterable[Update]) -> Verdict:
    """Every followed ref of a push: its site has to be valid. A rewound one is told, since the hosts will refuse it."""
    repository = HookedRepository(folder)
    followed = _followed(repository)
    verdicts = [_judged(repository, update) for update in updates if _is_followed(update, followed)]
    lines = tuple(line for verdict in verdicts for line in verdict.lines)
    return Verdict(lines, any(verdict.refused for verdict in verdicts))


def knock(folder: Path, updates: Iterable[Update]) -> Verdict:
    """Wake every host that the repository's configuration names, all at once, when a followed ref has changed."""
    repository = HookedRepository(folder)
    followed = _followed(repository)
    if not any(_is_followed(update, followed) for update in updates):
        return Verdict()
    hosts = repository.config("reconciler.wake")
    with ThreadPoolExecutor(max_workers=max(len(hosts), 1)) as pool:
        told = pool.map(_wake, hosts)
        return Verdict(tuple(line for line in told if line))


def _followed(repository: HookedRepository) -> tuple[str, ...]:
    """Patterns of refs that hosts follow: as the configuration says, else the default branch and the waves."""
    named = " ".join(repository.config("reconciler.refs")).split()
    return tuple(named) or (repository.default_branch(), _WAVES)


def _is_followed(update: Update, patterns: tuple[str, ...]) -> bool:
    return (
        not update.deletes
        and not update.ref.startswith(_REPORTS)
        and any(fnmatchcase(update.ref, pattern) for pattern in patterns)
    )


def _judged(repository: HookedRepository, update: Update) -> Verdict:
    commit = repository.commit_of(update.new)
    if commit is None:
        return Verdict((f"error: {update.ref} would not be a commit",), True)
    try:
        found = _examined(repository.site(commit), f"{update.ref} is refused: ")
    except SourceError as error:
        hint = (f"hint: {error.hint}",) if error.hint else ()
        return Verdict((f"error: {update.ref}: {error.message}", *hint), True)
    old = None if update.creates else repository.commit_of(update.old)
    if old is None or found.refused or repository.descends(commit, old):
        return found
    warning = f"warning: {update.ref} was rewound: hosts that have applied {old[:12]} refuse it without --allow-rewind"
    return replace(found, lines=(*found.lines, warning))


def _examined(site: Snapshot, said: str = "") -> Verdict:
    from reconciler.load import examine

    desired, problems = examine(site.files, site.commit, site.odd)
    lines = tuple(_told(problems, site.prefix))
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    if desired is not None:
        return Verdict(lines)
    return Verdict((*lines, f"error: {said}{errors} problem{'s' if errors != 1 else ''}"), True)


def _told(problems: tuple[Problem, ...], prefix: str) -> Iterator[str]:
    """Problems with paths as the author's repository has them."""
    from reconciler.report.text import problem_lines

    for problem in problems[:MOST_PROBLEMS]:
        moved = replace(problem, origin=replace(problem.origin, path=f"{prefix}{problem.origin.path}"))
        yield from problem_lines([moved]).splitlines()
    if len(problems) > MOST_PROBLEMS:
        yield f"… and {len(problems) - MOST_PROBLEMS} more: `reconciler check` shows them all"


def _wake(host: str) -> str:
    """`unix:PATH` or `ssh:DESTINATION`; what went wrong, in one line."""
    kind, _, where = host.partition(":")
    try:
        if kind == "unix":
            wake(Path(where))
        elif kind == "ssh" and _DESTINATION.fullmatch(where):
            options = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]
            run(["ssh", *options, "--", where, "reconciler", "wake"], timeout=WAKE_SECONDS)
        else:
            return f"warning: reconciler.wake is {host!r}, which is neither unix:PATH nor ssh:DESTINATION"
    except HostError as error:
        return f"warning: {host} was not woken: {error.message}"
    return ""
