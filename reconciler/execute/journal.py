"""The write-ahead journal: what a run is about to do is on disk before it does it (promise P6).

One file a run under `<var>/journal/`, one JSON object a line, each line on disk (fsync) before the step it
announces. The first line is `{"journal": 1, "event": "run", "epoch": N, …}`; a run that ended has a last line `end`.
A step's line holds the whole action, so the definition that it replaces is saved with it.
"""

from __future__ import annotations

import errno
import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from reconciler.errors import HostError, StaleError
from reconciler.model.plan import Plan, Step

VERSION = 1


class Journal:
    """One run's file, open for appending."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        started = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        self.run = f"{started}-{plan.digest[:8]}"
        self.path = folder / f"{self.run}.jsonl"
        self._torn = False
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            _sync_folder(folder)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self._epoch_file = folder / "epoch"
        self._epoch = self._begin_epoch()
        self.write("run", journal=VERSION, epoch=self._epoch, source=plan.source, host=plan.host, digest=plan.digest)

    def _begin_epoch(self) -> int:
        """One more than the last run's: who finds another number there has been overtaken, lock or not."""
        epoch = (_read_epoch(self._epoch_file) or last_epoch(self._epoch_file.parent)) + 1
        draft = self._epoch_file.with_name("epoch.new")
        try:
            draft.write_text(f"{epoch}\n", encoding="utf-8")
            draft.replace(self._epoch_file)
        except OSError as error:
            raise _unwritable(self._epoch_file, error) from error
        return epoch

    def write(self, event: str, **details: Any) -> None:
        """Append one line and wait until it is on disk. Raises `HostError` when it cannot be written."""
        record = {"event": event, "time": datetime.now(UTC).isoformat(), **details}
        line = (json.dumps(record, default=str) + "\n").encode()
        try:
            self._append(b"\n" + line if self._torn else line)
        except OSError as error:
            self._torn = True
            raise _unwritable(self.path, error) from error

    def _append(self, line: bytes) -> None:
        """A disk that fills up takes a part of a line: the next one then begins anew."""
        written = os.write(self._descriptor, line)
        if written < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(self._descriptor)
        self._torn = False

    def try_write(self, event: str, **details: Any) -> bool:
        """As `write`, for what must not keep us from taking things back: a full disk least of all."""
        try:
            self.write(event, **details)
        except HostError:
            return False
        return True

    def intend(self, step: Step) -> None:
        """Announce a step. Raises `StaleError` when another run has begun since."""
        if _read_epoch(self._epoch_file) != self._epoch:
            raise StaleError(
                "another reconciler has begun a run on this host meanwhile; no further step was taken",
                hint="see that only one of them uses this state folder",
            )
        self.write("step", id=step.id, kind=step.action.kind, action=asdict(step.action))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


def _read_epoch(path: Path) -> int:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0


def last_epoch(folder: Path) -> int:
    """By the first lines of all runs: for a state folder that has lost its count."""
    return max((epoch_of(first_line(path)) for path in folder.glob("*.jsonl")), default=0)


def first_line(path: Path) -> Any:
    """Of a run; None where it is cut off or damaged."""
    try:
        with path.open("rb") as file:
            return json.loads(file.readline())
    except (OSError, ValueError):
        return None


def epoch_of(event: Any) -> int:
    found = event.get("epoch") if isinstance(event, dict) else None
    return found if isinstance(found, int) else 0


def close_run(folder: Path, run: str, outcome: str) -> None:
    """Write the last line of a run that was interrupted, once the host has converged after it."""
    path = folder / f"{run}.jsonl"
    torn = not path.read_bytes().endswith(b"\n")
    line = json.dumps({"event": "end", "time": datetime.now(UTC).isoformat(), "outcome": outcome}) + "\n"
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"\n{line}" if torn else line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _unwritable(path, error) from error


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
