"""Errors that reach a user: one sentence, where it happened, and a hint.

Every failure that a user can cause or meet is a `ReconcilerError`. The command prints it as it is, so a
message says what is wrong, where, what was and what was not done; `hint` says whose turn it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.model.origin import Origin
    from reconciler.model.problem import Problem


class ReconcilerError(Exception):
    """Base of every error that is reported without a traceback."""

    exit_code = 1
    retryable = False

    def __init__(self, message: str, *, hint: str = "", origin: Origin | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.origin = origin

    def __str__(self) -> str:
        return f"{self.origin}: {self.message}" if self.origin else self.message


class UsageError(ReconcilerError):
    """The command line or the host's configuration cannot be used: the operator's turn."""

    exit_code = 2


class SiteError(ReconcilerError):
    """The desired state has problems: the author's turn. Nothing was applied."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        count = len(problems)
        super().__init__(f"the site has {count} problem{'s' if count != 1 else ''}; nothing was applied")
        self.problems = problems


class SourceError(ReconcilerError):
    """The desired state could not be read: Git, the folder, or their rights."""

    retryable = True


class RefusedCommit(SourceError):
    """The remote has a commit that this host must not apply: unsigned, rewound, or no commit at all."""

    retryable = False


class HostError(ReconcilerError):
    """libvirt, the kernel's tools or a process refused or failed."""


class HostUnreachable(HostError):
    """The daemon does not answer at all; trying later may help."""

    retryable = True


class HostBusy(HostError):
    """Another reconciler is at work here: it does what is to be done, and tells of it."""

    retryable = True


class HostTimeout(HostError):
    """A call did not return within its deadline: its outcome is unknown, and nothing may be written after it."""


class StaleError(ReconcilerError):
    """The host or the site is no longer what the plan was made for (promise P7): plan again."""

    exit_code = 1
    retryable = True


class PolicyError(ReconcilerError):
    """The policy of the site does not allow what the plan needs."""

    exit_code = 3


class PublishError(ReconcilerError):
    """A report did not get where it should. What was applied stands; the next run tries to post it again."""

    exit_code = 4
    retryable = True


def printable(text: str) -> str:
    """Text of a server or a repository, with what would act on a terminal shown as what it is."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text)


def did_you_mean(word: str, known: Iterable[str], most: int = 1) -> str:
    """A hint at the most similar words that would have been right, or none."""
    from difflib import get_close_matches

    *others, last = get_close_matches(word, known, n=most) or [""]
    if not last:
        return ""
    return f"did you mean {', '.join(others)} or {last}?" if others else f"did you mean {last}?"
