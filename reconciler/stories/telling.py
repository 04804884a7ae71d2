"""Tell a run to the machine that it ran on: the journal's fields, and metrics."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from reconciler.errors import PublishError
from reconciler.host import journald
from reconciler.model.report import Report
from reconciler.records.files import read_record, write_record
from reconciler.report.run import summary
from reconciler.settings import Settings

_ERROR, _WARNING, _INFO = "3", "4", "6"


def log(told: Report) -> None:
    """One message of the journal, with fields to search by, where standard error is the journal."""
    if not journald.is_ours():
        return
    priority = _INFO if told.good else _ERROR if told.trouble else _WARNING
    fields = {
        "MESSAGE": summary(told),
        "PRIORITY": priority,
        "SYSLOG_IDENTIFIER": "reconciler",
        "RECONCILER_HOST": told.host,
        "RECONCILER_OUTCOME": str(told.outcome),
        "RECONCILER_COMMIT": told.commit or "",
        "RECONCILER_RUN": told.execution.run if told.execution else "",
        "RECONCILER_DRIFT": "\n".join(sorted({each.object for each in told.found})),
        "RECONCILER_ERROR": str(told.trouble) if told.trouble else "",
    }
    journald.send(fields)


def write_metrics(settings: Settings, told: Report) -> None:
    """Replace the metrics file. Raises `PublishError` when it cannot be written."""
    success = _last_success(settings, told)
    if settings.metrics is None:
        return
    from reconciler.report.metrics import metrics

    text = metrics(told, success)
    try:
        settings.metrics.parent.mkdir(parents=True, exist_ok=True)
        _replace(settings.metrics, text)
    except OSError as error:
        raise PublishError(f"the metrics {settings.metrics} cannot be written ({error.strerror})") from error


def _last_success(settings: Settings, told: Report) -> datetime | None:
    """Kept as the time of a file, which a run that has nothing to do may touch without writing."""
    path = settings.var / "success.json"
    if told.good and told.stale_since is None:
        if path.exists():
            os.utime(path)
        elif settings.metrics is not None:
            write_record(path, {})
        return told.started
    return datetime.fromtimestamp(path.stat().st_mtime, UTC) if read_record(path) is not None else None


def _replace(path: Path, text: str) -> None:
    """The collector may read at any moment, as another user: it finds the old file or the new one."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)
        Path(draft).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(draft).unlink()
        raise
