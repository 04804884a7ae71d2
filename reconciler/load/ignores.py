"""Ignore rules beside what the site has: one that can match nothing is misspelt, or outlived."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from reconciler.load.draft import GuestDraft
from reconciler.load.files import IgnoreEntry
from reconciler.load.filters import FilterSet
from reconciler.load.findings import Findings
from reconciler.load.siteview import SiteView
from reconciler.model.drift import Layer
from reconciler.model.guest import guard_name
from reconciler.model.ignore import Ignore

_STORED, _RUNNING, _KERNEL = (Layer.PERSISTENT,), (Layer.LIVE,), (Layer.KERNEL,)
_XML = (Layer.PERSISTENT, Layer.LIVE)

_OF_GUEST = (("autostart", _STORED), ("power", _RUNNING))
_OF_INTERFACE = (
    ("", _XML),
    (".bridge", _XML),
    (".filterref.filter", _XML),
    (".filterref.parameters.?", _XML),
    (".binding.filter", _RUNNING),
    (".binding.parameters.?", _RUNNING),
    (".gate", _KERNEL),
    (".rules.?", _KERNEL),
)
_OF_FILTER = tuple((name, _STORED) for name in ("definition", "chain", "priority", "entries"))
_OF_GUARD = tuple((name, _STORED) for name in ("definition", "chain", "priority", "filter", "parameters.?"))
"""Fields of drift and their layers. `?` is any word: variables and chains that a host has and the site has not."""


def check_ignores(site: SiteView, guests: Sequence[GuestDraft], filters: FilterSet, findings: Findings) -> None:
    """Warn of every rule that covers no field that this site could have."""
    nodes = site.node.at("ignore").items
    for entry, node in zip(site.file.ignore, nodes, strict=False):
        objects = [pair for pair in _objects(guests, filters) if _covers_object(entry, pair[0])]
        if not objects:
            message = f"the site has no object that {entry.object} names"
            findings.report("ignore-matches-nothing", node.at("object").origin, message)
        elif not any(_covers_field(entry, name, *field) for name, fields in objects for field in fields):
            message = f"no field of {entry.object} is called {entry.field}" + _in_layer(entry)
            findings.report("ignore-matches-nothing", node.at("field").origin, message)


def _in_layer(entry: IgnoreEntry) -> str:
    return f" in the {entry.layer} layer" if entry.layer else ""


_Fields = Sequence[tuple[str, tuple[Layer, ...]]]


def _objects(guests: Sequence[GuestDraft], filters: FilterSet) -> Iterator[tuple[str, _Fields]]:
    for name in (*filters.site, *filters.unclear):
        yield f"filter/{name}", _OF_FILTER + _OF_GUARD
    for guest in guests:
        macs = [draft.entry.mac for draft in guest.interfaces]
        of_interfaces = [(mac + field, layers) for mac in macs for field, layers in _OF_INTERFACE]
        yield f"guest/{guest.file.name}", (*_OF_GUEST, *of_interfaces)
        for mac in macs:
            yield f"filter/{guard_name(guest.file.name, mac)}", _OF_GUARD


def _covers_object(entry: IgnoreEntry, name: str) -> bool:
    return Ignore(entry.object, "*", entry.reason).covers(name, "", Layer.LIVE)


def _covers_field(entry: IgnoreEntry, name: str, field: str, layers: tuple[Layer, ...]) -> bool:
    rule = Ignore(entry.object, entry.field, entry.reason, Layer(entry.layer) if entry.layer else None)
    # The rule's own last word, for wherever the host may bring a word of its own.
    word = re.sub(r"[*?]|\[[^]]*]", "x", entry.field.rpartition(".")[2]) or "x"
    return any(rule.covers(name, field.replace("?", word), layer) for layer in layers)
