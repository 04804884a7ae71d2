"""What `doctor` finds of a host."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """`WARNING` works, with something missing; `FAILED` does not."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: its name, how it is, one sentence, and what to do about it."""

    id: str
    health: Health
    message: str
    hint: str = ""
