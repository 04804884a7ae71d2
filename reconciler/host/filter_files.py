"""The files in which libvirt keeps its filters, seen through the daemon's own root."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from reconciler.errors import HostError
from reconciler.model.filter import NwFilter
from reconciler.model.live import FilterFile
from reconciler.nwfilter.parse import parse_filter
from reconciler.nwfilter.syntax import FilterSyntax

_MODE = 0o600


def definition_names(root: Path) -> tuple[str, ...]:
    """Names of the filters that the daemon keeps on disk.

    libvirt 9.0 can deadlock when its filters are listed while a binding is made, so the names come from the files, and
    each filter is then looked up alone.
    """
    try:
        return tuple(sorted(path.stem for path in filter_folder(root).glob("*.xml")))
    except OSError:
        return ()


def filter_folder(root: Path) -> Path:
    return root / "etc/libvirt/nwfilter"


def filter_file(folder: Path, name: str, xml: str, definition: NwFilter) -> FilterFile:
    """A filter's file beside what libvirt prints of it: the same text below a warning, unless somebody wrote it."""
    try:
        text = (folder / f"{name}.xml").read_bytes()
    except OSError:
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
