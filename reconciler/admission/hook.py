"""`reconciler-admit GUEST OPERATION …`: what libvirt's hook runs, with the guest's XML on standard input.

Only standard library, and only what a start needs: libvirt waits. Exit code 0 lets the guest start, `REFUSED` does
not; any other one tells the hook's script that this program is broken, and it lets the guest start then, unless the
policy is `strict`.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from reconciler.admission.judge import Record, interfaces, objections

REFUSED = 77
STATE = "/var/lib/reconciler"
FILTERS = Path("/etc/libvirt/nwfilter")
RECORD, LOG = "admission.json", "admission.jsonl"
MOST_LOG_BYTES = 1 << 20
_JUDGED = {("prepare", "begin"), ("migrate", "begin"), ("restore", "begin")}


def main() -> int:
    """Judge one operation; others are none of ours."""
    if len(sys.argv) < 4 or (sys.argv[2], sys.argv[3]) not in _JUDGED:
        return 0
    var = Path(os.environ.get("RECONCILER_VAR") or STATE)
    guest, operation = sys.argv[1:3]
    record = _record(var)
    if record is None:
        return 0
    found = list(dict.fromkeys(objections(guest, interfaces(sys.stdin.buffer.read()), record, _read)))
    if not found:
        return 0
    is_refused = record["policy"] in ("refuse", "strict") and not _is_at_work(var)
    _tell(var, guest, operation, found, refused=is_refused)
    if not is_refused:
        return 0
    print(f"reconciler: {guest} is refused: {'; '.join(found)}", file=sys.stderr)
    return REFUSED


def _record(var: Path) -> Record | None:
    """What the last good run wrote; where none has been, nothing is known and nothing is judged."""
    try:
        found: Record = json.loads((var / RECORD).read_bytes())
    except FileNotFoundError:
        return None
    return found


def _read(name: str) -> bytes | None:
    if "/" in name:
        return None
    try:
        return (FILTERS / f"{name}.xml").read_bytes()
    except FileNotFoundError:
        return None


def _is_at_work(var: Path) -> bool:
    """While a run changes filters, what was verified before it is no measure: then it is only told."""
    with suppress(OSError), (var / "lock").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _tell(var: Path, guest: str, operation: str, found: list[str], *, refused: bool) -> None:
    """One line in a file of ours and one for the journal; neither is worth failing for."""
    line = {"time": time.time(), "guest": guest, "operation": operation, "refused": refused, "objections": found}
    with suppress(OSError):
        path = var / LOG
        if path.exists() and path.stat().st_size > MOST_LOG_BYTES:
            path.replace(path.with_suffix(".1.jsonl"))
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    with suppress(OSError):
        from reconciler.host.journald import send

        word = "refused" if refused else "not as it was verified"
        send({"MESSAGE": f"{guest} is {word}: {'; '.join(found)}", "PRIORITY": "4", "SYSLOG_IDENTIFIER": "reconciler",
              "RECONCILER_GUEST": guest, "RECONCILER_OPERATION": operation})  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
