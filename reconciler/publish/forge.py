"""What a forge can do for a host's reports, and how a run uses it. A forge of another make only has to do these."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from reconciler.errors import PublishError
from reconciler.model.message import Message, State

MOST_DESCRIPTION = 255
MOST_BODY = 500_000
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Forge(Protocol):
    """A project on a forge. Every method leaves what it finds when that is right already; all raise `PublishError`.

    A `marker` is a hidden text in a comment or an issue. It counts only in one that our own account has written:
    anybody else could copy it, and would then have us overwrite theirs, or leave ours unwritten.
    """

    @property
    def name(self) -> str: ...

    def set_status(self, commit: str, context: str, state: State, description: str) -> None:
        """The state of a commit under a name of its own."""

    def comment(self, commit: str, marker: str, body: str) -> None:
        """One comment on each merge request that brought the commit, made once and then updated in place."""

    def open_issue(self, marker: str, title: str, body: str) -> None:
        """One open issue, made when there is none, else updated in place."""

    def close_issue(self, marker: str) -> None:
        """No open issue."""


class ForgePublisher:
    """Posts a run: a status and a comment for its commit, and an issue for as long as the host drifts."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge

    @property
    def name(self) -> str:
        return self._forge.name

    def publish(self, message: Message) -> None:
        """Does all that it can. Raises the first `PublishError` then: the next run does all of it again."""
        if not _HOST.fullmatch(message.host):
            raise PublishError(f"{message.host!r} is no name of a host that a forge could be told")
        marker = f"<!-- nwfilter-reconciler host={message.host} -->"
        body = f"{marker}\n{_cut(message.markdown)}"
        failures: list[PublishError] = []
        for part in self._parts(message, marker, body):
            try:
                part()
            except PublishError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def _parts(self, message: Message, marker: str, body: str) -> list[Callable[[], None]]:
        forge = self._forge
        context = f"reconciler/{message.host}"
        commit = message.commit
        parts: list[Callable[[], None]] = []
        if commit is not None:
            parts.append(lambda: forge.set_status(commit, context, message.state, message.summary[:MOST_DESCRIPTION]))
            parts.append(lambda: forge.comment(commit, marker, body))
        if message.drifts:
            parts.append(lambda: forge.open_issue(marker, f"{message.host} differs from the site", body))
        elif message.state is State.SUCCESS:
            parts.append(lambda: forge.close_issue(marker))
        return parts


def _cut(markdown: str) -> str:
    """A forge refuses a text that is too long. A cut inside of a block of code would leave it open, so all goes."""
    if len(markdown) <= MOST_BODY:
        return markdown
    head = markdown[:MOST_BODY].partition("\n## ")[0]
    return f"{head[:MOST_BODY]}\n\nThe report is too long to be shown here; the host's journal has all of it.\n"
