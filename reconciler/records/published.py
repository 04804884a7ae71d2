"""What was told to whom: so that nothing is told twice, and what could not be told is told later."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reconciler.records.files import read_record, remove_record, write_record


@dataclass(frozen=True, slots=True)
class Published:
    """Digests of the last state that a place was told, and of the drift that the last run met there."""

    state: str = ""
    found: str = ""


def read_published(var: Path, target: str) -> Published:
    record = read_record(_path(var, target)) or {}
    return Published(str(record.get("state", "")), str(record.get("found", "")))


def write_published(var: Path, target: str, published: Published) -> None:
    """Writes nothing where nothing is new."""
    if read_published(var, target) != published:
        write_record(_path(var, target), asdict(published))


def read_unposted(var: Path, target: str) -> dict[str, Any] | None:
    """The message that could not be posted."""
    return read_record(_unposted(var, target))


def keep_unposted(var: Path, target: str, message: dict[str, Any]) -> None:
    write_record(_unposted(var, target), message)


def forget_unposted(var: Path, target: str) -> None:
    if _unposted(var, target).exists():
        remove_record(_unposted(var, target))


def _path(var: Path, target: str) -> Path:
    return var / "published" / f"{target}.json"


def _unposted(var: Path, target: str) -> Path:
    return var / "published" / f"{target}.unposted.json"
