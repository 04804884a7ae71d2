"""One check of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.model.problem import Severity

Meanings = Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Check:
    """One id. `meaning` says why it matters, `hint` what the author of the site does now."""

    id: str
    group: str
    meaning: str
    hint: str
    severity: Severity
