"""What is wrong with a site."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reconciler.model.origin import Origin


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding of `check`: a stable kebab-case id, its place, one sentence and a hint."""

    id: str
    origin: Origin
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something in a site's folders that is no file to read: the id of the check that says so, and a sentence."""

    path: str
    id: str
    message: str
