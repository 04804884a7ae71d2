"""Ignore rules beside what the site has: one that can match nothing is misspelt, or outlived."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from reconciler.errors import printable
from reconciler.load.files import IgnoreEntry
from reconciler.load.filters import FilterSet
from reconciler.load.findings import Findings
from reconciler.load.known import Read, named
from reconciler.load.siteview import SiteView
from reconciler.model.drift import Layer
from reconciler.model.guest import guard_name
from reconciler.model.ignore import Ignore
from reconciler.nwfilter.supplement import OBJECT

_STORED, _SAVED, _RUNNING, _KERNEL = (Layer.PERSISTENT,), (Layer.SAVED,), (Layer.LIVE,), (Layer.KERNEL,)
_XML = (Layer.PERSISTENT, Layer.LIVE)
_Fields = tuple[tuple[str, tuple[Layer, ...]], ...]

_OF_GUEST: _Fields = (("autostart", _STORED), ("power", _RUNNING), ("managed-save.*", _SAVED), ("snapshot/*", _SAVED))
_OF_INTERFACE: _Fields = (
    ("", _XML),
    (".mac", _XML),
    (".bridge", _XML),
    (".filterref.filter", _XML),
    (".filterref.parameters.*", _XML),
    (".binding.filter", _RUNNING),
    (".binding.parameters.*", _RUNNING),
    (".gate", _KERNEL),
    (".rules.*", _KERNEL),
    (".supplement.*", _KERNEL),
)
_OF_FILTER: _Fields = tuple((name, _STORED) for name in ("definition", "file", "chain", "priority", "entries"))
_OF_GUARD: _Fields = tuple(
    (name, _STORED) for name in ("definition", "file", "chain", "priority", "filter", "parameters.*")
)
_OF_PORT: _Fields = (("rules", _KERNEL),)
_OF_TABLE: _Fields = (("supplement", _KERNEL), ("supplement.*", _KERNEL))
"""Fields of drift and their layers. `*` at the end is anything: what a host has, and no site."""


def check_ignores(site: SiteView, guests: Sequence[Read], filters: FilterSet, findings: Findings) -> None:
    """Warn of every rule that covers no field that this site could have."""
    nodes = site.node.at("ignore").items
    for entry, node in zip(site.file.ignore, nodes, strict=False):
        objects = [pair for pair in _objects(guests, filters) if _could_match(entry.object, pair[0])]
        if not objects:
            message = f"the site has no object that {printable(entry.object)} names"
            findings.report("ignore-matches-nothing", node.at("object").origin, message)
        elif not any(_could_cover(entry, *field) for _, fields in objects for field in fields):
            message = f"no field of {printable(entry.object)} is called {printable(entry.field)}" + _in_layer(entry)
            findings.report("ignore-matches-nothing", node.at("field").origin, message)


def _in_layer(entry: IgnoreEntry) -> str:
    return f" in the {entry.layer} layer" if entry.layer else ""


def _objects(guests: Sequence[Read], filters: FilterSet) -> Iterator[tuple[str, _Fields]]:
    yield "port/*", _OF_PORT
    yield OBJECT, _OF_TABLE
    for name in (*filters.site, *filters.unclear):
        yield f"filter/{name}", _OF_FILTER + _OF_GUARD
    for guest in guests:
        name, _, places = named(guest)
        macs = [mac for mac, _ in places]
        of_interfaces = tuple((mac + field, layers) for mac in macs for field, layers in _OF_INTERFACE)
        yield f"guest/{name}", _OF_GUEST + of_interfaces
        for mac in macs:
            yield f"filter/{guard_name(name, mac)}", _OF_GUARD


def _could_cover(entry: IgnoreEntry, field: str, layers: tuple[Layer, ...]) -> bool:
    if entry.layer is not None and entry.layer not in layers:
        return False
    return Ignore("*", entry.field, entry.reason).covers("", field, layers[0]) or _could_match(entry.field, field)


def _could_match(glob: str, name: str) -> bool:
    """Whether a glob matches a name, or where that ends in `*`, any name that begins so."""
    if not name.endswith("*"):
        return fnmatchcase(name, glob)
    return any(fnmatchcase(name[:-1], glob[:length]) for length in range(len(glob) + 1))
