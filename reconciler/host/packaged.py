"""The filters that libvirt's package brought: what a host's own copies of them are compared with."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from reconciler.host.address import proc_of
from reconciler.model.filter import NwFilter
from reconciler.nwfilter.parse import parse_filter
from reconciler.nwfilter.syntax import FilterSyntax

_FOLDER = "usr/share/libvirt/nwfilter"


def packaged_filters(pid: int) -> tuple[NwFilter, ...]:
    """Those that the package of the daemon's file system keeps aside, whatever became of the copies in use.

    None where a distribution keeps none; a file that cannot be read is as good as absent.
    """
    found: list[NwFilter] = []
    with suppress(OSError):
        for path in sorted(Path(proc_of(pid), "root", _FOLDER).glob("*.xml")):
            with suppress(OSError, FilterSyntax):
                found.append(parse_filter(path.read_bytes()))
    return tuple(found)
