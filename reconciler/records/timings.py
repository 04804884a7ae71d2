"""How long things take on this host: the ground of a plan's estimates and of the deadlines of calls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from reconciler.records.files import read_record, write_record

_FILE = "timings.json"
_WEIGHT = 0.3
"""Of the newest measurement; the rest is what was known before."""


def read_timings(var: Path) -> dict[str, float]:
    """Seconds by what took them; nothing where nothing was measured yet."""
    record = read_record(var / _FILE) or {}
    return {name: float(value) for name, value in record.items() if isinstance(value, int | float) and value >= 0}


def learn_timings(var: Path, measured: Mapping[str, float]) -> None:
    """Mix new measurements into what is known."""
    if not measured:
        return
    known = read_timings(var)
    mixed = {name: known.get(name, value) * (1 - _WEIGHT) + value * _WEIGHT for name, value in measured.items()}
    write_record(var / _FILE, {**known, **{name: round(value, 4) for name, value in mixed.items()}})
