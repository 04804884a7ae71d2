"""What is suspended on this host: by whom nothing is changed until then, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from reconciler.errors import HostError
from reconciler.records.files import read_record, remove_record, write_record

_FILE = "suspended.json"


@dataclass(frozen=True, slots=True)
class Suspension:
    """`target` is `host`, `guest/NAME` or `filter/NAME`; `until` and `since` are in UTC."""

    target: str
    reason: str
    since: datetime
    until: datetime
    by: str = ""


def read_suspensions(var: Path, now: datetime | None = None) -> tuple[Suspension, ...]:
    """Those that are in force; one that has run out is as good as none."""
    record = read_record(var / _FILE)
    moment = now or datetime.now(UTC)
    try:
        found = [_suspension(each) for each in record["suspensions"]] if record is not None else []
    except (KeyError, TypeError, ValueError) as error:
        raise HostError(f"the record of suspensions {var / _FILE} is not understood; nothing was done") from error
    return tuple(each for each in found if each.until > moment)


def suspend(var: Path, suspension: Suspension) -> None:
    """Add one, in place of another of the same target."""
    others = [each for each in read_suspensions(var) if each.target != suspension.target]
    _write(var, (*others, suspension))


def resume(var: Path, targets: tuple[str, ...]) -> tuple[Suspension, ...]:
    """Remove those of these targets, or all; returns what was removed."""
    before = read_suspensions(var)
    gone = tuple(each for each in before if not targets or each.target in targets)
    if gone:
        _write(var, tuple(each for each in before if each not in gone))
    return gone


def _write(var: Path, suspensions: tuple[Suspension, ...]) -> None:
    if not suspensions:
        remove_record(var / _FILE)
        return
    texts = [asdict(each) | {"since": each.since.isoformat(), "until": each.until.isoformat()} for each in suspensions]
    write_record(var / _FILE, {"suspensions": texts})


def _suspension(record: dict[str, str]) -> Suspension:
    since, until = (datetime.fromisoformat(record[key]) for key in ("since", "until"))
    return Suspension(record["target"], record["reason"], since, until, record.get("by", ""))
