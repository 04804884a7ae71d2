"""Whether runs have ended, by the last lines of their files: a timer's run pays nothing for old ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

_LAST_LINE = 400
"""Bytes that hold it for certain."""


def unended(folder: Path) -> Iterator[Path]:
    """The files of runs without a last line `end`, the oldest first."""
    return (path for path in sorted(folder.glob("*.jsonl")) if not has_end(path))


def has_end(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LAST_LINE))
        lines = file.read().decode(errors="replace").splitlines()
    try:
        return bool(lines) and json.loads(lines[-1]).get("event") == "end"
    except (ValueError, AttributeError):
        return False
