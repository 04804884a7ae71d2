"""The other way round: a site is made of what libvirt has."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler import app
from reconciler.errors import UsageError, did_you_mean
from reconciler.model.live import Domain, Live
from reconciler.model.site import Desired
from reconciler.settings import Settings

if TYPE_CHECKING:
    from reconciler.model.adoption import Adoption


def adopt(settings: Settings, names: Sequence[str], folder: Path, *, force: bool) -> Adoption:
    """Write what libvirt has of these guests, or of all, into the site in a folder; libvirt itself is only read.

    Raises `UsageError` for a guest that libvirt does not have; `SiteError` where the site has problems already.
    """
    from reconciler.adopt.choice import adopt as choose
    from reconciler.adopt.draft import Ground
    from reconciler.load import load
    from reconciler.source.writing import has_schemas, read_or_begin, write_files

    files = read_or_begin(folder)
    site = None if files is None else load(files, str(folder))
    name, hosts = _adopting_host(settings, site)
    host = app.open_host(settings)
    live = host.inspect()
    ground = Ground(live, name, hosts, host.packaged_filters(), files, site, has_schemas(folder), force)
    done = choose(ground, _chosen(live, names))
    write_files(folder, done.files)
    return done


def _adopting_host(settings: Settings, site: Desired | None) -> tuple[str, tuple[str, ...]]:
    """This host's name, and what files call it: nothing where the site names no hosts, or could not name this one."""
    if site is not None:
        name = app.host_name(settings, site)
        return name, (name,) if site.hosts else ()
    from reconciler.load.values import is_shared_name

    name = settings.host or socket.gethostname().split(".")[0]
    if settings.host and not is_shared_name(name):
        raise UsageError(
            f"{name!r} is no name that a site can give a host; nothing was done",
            hint="lower-case letters, digits, . _ and -, 63 at most",
        )
    return name, (name,) if is_shared_name(name) else ()


def _chosen(live: Live, names: Sequence[str]) -> tuple[Domain, ...]:
    known = {domain.name: domain for domain in live.domains}
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or "`virsh list --all` shows those that it has"
            raise UsageError(f"libvirt has no guest {name!r}; nothing was done", hint=hint)
    return tuple(known[name] for name in (dict.fromkeys(names) or known))
