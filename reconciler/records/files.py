"""JSON files that survive a crash: written beside the old one, on disk, then renamed over it."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from reconciler.errors import HostError

Record = dict[str, Any]


def read_record(path: Path) -> Record | None:
    """The record, None where there is none. Raises `HostError` for one that cannot be read: it is never guessed."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no JSON"
        raise HostError(
            f"the record {path} cannot be read ({reason}); nothing was done",
            hint="look at the disk; removing the file makes this host forget what it says",
        ) from error
    if not isinstance(found, dict):
        raise HostError(f"the record {path} is no JSON object; nothing was done")
    return found


def recall(path: Path) -> Record | None:
    """As `read_record`, None also for one that cannot be read: of what any run finds out anew."""
    try:
        return read_record(path)
    except HostError:
        return None


def write_record(path: Path, record: Record) -> None:
    """Replace a record: after a crash at any point the file is the old one or the new one.

    Raises `HostError` when it cannot be written; the old one is there then.
    """
    draft = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(record, file, indent=1, sort_keys=True)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise HostError(
            f"the record {path} cannot be written ({error.strerror})", hint="make room or rights for it"
        ) from error


def remove_record(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            sync_folder(path.parent)
    except OSError as error:
        raise HostError(f"the record {path} cannot be removed ({error.strerror})") from error


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
