"""What the files in which libvirt keeps its filters mean, and writing them, through the daemon's own root."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from reconciler.errors import HostError
from reconciler.host.filter_folder import filter_folder
from reconciler.model.filter import NwFilter
from reconciler.model.live import FilterFile
from reconciler.nwfilter.parse import parse_filter
from reconciler.nwfilter.syntax import FilterSyntax

_MODE = 0o600


def filter_file(text: bytes | None, xml: str, definition: NwFilter) -> FilterFile:
    """A filter's file beside what libvirt prints of it: the same text below a warning, unless somebody wrote it."""
    if text is None:
        return FilterFile.ABSENT
    if text.rstrip().endswith(xml.rstrip().encode()):
        return FilterFile.SAME
    try:
        return FilterFile.SAME if parse_filter(text) == definition else FilterFile.DIFFERENT
    except FilterSyntax:
        return FilterFile.DIFFERENT


def write_filter_files(root: Path, files: Iterable[tuple[str, str]]) -> None:
    """Each by a rename, so that a daemon that reads them meanwhile finds whole ones. Raises `HostError`."""
    for name, text in files:
        path = filter_folder(root) / f"{name}.xml"
        draft = path.with_name(f".{name}.xml.new")
        try:
            with draft.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.chmod(_MODE)
            draft.replace(path)
        except OSError as error:
            raise HostError(f"the file {path.name} of a filter cannot be written ({error.strerror})") from error
