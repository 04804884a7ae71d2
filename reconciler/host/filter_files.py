"""The files in which libvirt keeps its filters, seen through the daemon's own root."""

from __future__ import annotations

from pathlib import Path

from reconciler.host.address import proc_of
from reconciler.model.filter import NwFilter
from reconciler.model.live import FilterFile
from reconciler.nwfilter.parse import parse_filter
from reconciler.nwfilter.syntax import FilterSyntax


def definition_names(pid: int) -> tuple[str, ...]:
    """Names of the filters that the daemon keeps on disk.

    libvirt 9.0 can deadlock when its filters are listed while a binding is made, so the names come from the files, and
    each filter is then looked up alone.
    """
    try:
        return tuple(sorted(path.stem for path in _folder(pid).glob("*.xml")))
    except OSError:
        return ()


def filter_file(pid: int, name: str, xml: str, definition: NwFilter) -> FilterFile:
    """A filter's file beside what libvirt prints of it: the same text below a warning, unless somebody wrote it."""
    try:
        text = (_folder(pid) / f"{name}.xml").read_bytes()
    except OSError:
        return FilterFile.ABSENT
    if text.rstrip().endswith(xml.rstrip().encode()):
        return FilterFile.SAME
    try:
        return FilterFile.SAME if parse_filter(text) == definition else FilterFile.DIFFERENT
    except FilterSyntax:
        return FilterFile.DIFFERENT


def _folder(pid: int) -> Path:
    return proc_of(pid) / "root/etc/libvirt/nwfilter"
