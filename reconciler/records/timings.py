"""How long things take on this host: the ground of a plan's estimates and of the deadlines of calls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from reconciler.records.files import recall, write_record

_FILE = "timings.json"
_MOST_SECONDS = 86_400.0
_WEIGHT = 0.3
"""Of the newest measurement; the rest is what was known before."""


def read_timings(var: Path) -> dict[str, float]:
    """Seconds by what took them; nothing where nothing was measured yet."""
    record = recall(var / _FILE) or {}
    return {name: float(value) for name, value in record.items() if _is_duration(value)}


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= _MOST_SECONDS


def learn_timings(var: Path, measured: Mapping[str, float]) -> None:
    """Mix new measurements into what is known."""
    if not measured:
        return
    known = read_timings(var)
    mixed = {name: known.get(name, value) * (1 - _WEIGHT) + value * _WEIGHT for name, value in measured.items()}
    write_record(var / _FILE, {**known, **{name: round(value, 4) for name, value in mixed.items()}})
