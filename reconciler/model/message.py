"""What is published of a run, ready to be sent: every text is escaped for its place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What a commit's status shows. `SUCCESS` is said only after it is true."""

    SUCCESS = "success"
    PENDING = "pending"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Message:
    """One run of one host for its readers.

    `time` is ISO 8601 in UTC. `applied` says that the host was brought to the commit; `drifts` that it differs and
    will go on to.
    """

    host: str
    commit: str | None
    time: str
    state: State
    applied: bool
    drifts: bool
    summary: str
    markdown: str
    json: str
    html: str
