"""The write-ahead journal: what a run is about to do is on disk before it does it (promise P6).

One file a run under `<var>/journal/`, one JSON object a line, each line on disk (fsync) before the step it
announces. The first line is `{"journal": 1, "event": "run", …}`; a run that ended has a last line `end`.
A step's line holds the whole action, so the definition that it replaces is saved with it.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from reconciler.errors import HostError
from reconciler.model.plan import Plan, Step

VERSION = 1


class Journal:
    """One run's file, open for appending."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        started = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        self.run = f"{started}-{plan.digest[:8]}"
        self.path = folder / f"{self.run}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            _sync_folder(folder)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self.write("run", journal=VERSION, source=plan.source, host=plan.host, digest=plan.digest)

    def write(self, event: str, **details: Any) -> None:
        """Append one line and wait until it is on disk. Raises `HostError` when it cannot be written."""
        record = {"event": event, "time": datetime.now(UTC).isoformat(), **details}
        try:
            os.write(self._descriptor, (json.dumps(record, default=str) + "\n").encode())
            os.fsync(self._descriptor)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def try_write(self, event: str, **details: Any) -> bool:
        """As `write`, for what must not keep us from taking things back: a full disk least of all."""
        try:
            self.write(event, **details)
        except HostError:
            return False
        return True

    def intend(self, step: Step) -> None:
        self.write("step", id=step.id, kind=step.action.kind, action=asdict(step.action))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


def open_runs(folder: Path) -> tuple[str, ...]:
    """Names of the runs that never ended: killed, or cut off by a power loss."""
    return tuple(path.stem for path in sorted(folder.glob("*.jsonl")) if not _ended(path))


def close_run(folder: Path, run: str, outcome: str) -> None:
    """Write the last line of a run that was interrupted, once the host has converged after it."""
    with (folder / f"{run}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"event": "end", "time": datetime.now(UTC).isoformat(), "outcome": outcome}) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _ended(path: Path) -> bool:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    try:
        return bool(lines) and json.loads(lines[-1]).get("event") == "end"
    except ValueError:
        return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> HostError:
    return HostError(
        f"the journal {path} cannot be written ({error.strerror}); no further step was taken",
        hint="the journal comes first: make room or rights for it, or name another folder with --var",
    )
