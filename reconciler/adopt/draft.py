"""The site with some interfaces in it: its files, of which some are new."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import groupby

from reconciler.adopt.entry import Entry
from reconciler.adopt.places import place, segments_of
from reconciler.adopt.text import guest_text, head, policy_text, site_text
from reconciler.model.filter import NwFilter
from reconciler.model.live import Live
from reconciler.model.site import Desired, Segment
from reconciler.nwfilter.format import format_filter
from reconciler.nwfilter.stock import STOCK_FILTERS
from reconciler.nwfilter.variables import closure

SITE = "site.yaml"


@dataclass(frozen=True, slots=True)
class Ground:
    """What there is before: the host, what libvirt's package brought, and the site, if there is one.

    `files` are those of the site; `has_schema` says whether it has the JSON Schemas beside them. With `force` files of
    guests and filters are replaced. `hosts` is how the site calls this host, empty where it names none.
    """

    live: Live
    host: str
    hosts: tuple[str, ...] = ()
    packaged: tuple[NwFilter, ...] = ()
    files: Mapping[str, bytes] | None = None
    site: Desired | None = None
    has_schema: bool = False
    force: bool = False

    @property
    def is_new(self) -> bool:
        return self.site is None


class Drafting:
    """Makes drafts on one ground."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._live = {f.definition.name: f.definition for f in ground.live.filters}
        self._packaged = {definition.name: definition for definition in ground.packaged}
        self._in_site = {definition.name: definition for definition in ground.site.filters} if ground.site else {}

    def reached(self, entry: Entry) -> tuple[str, ...]:
        """Names of all filters that an interface needs, as libvirt has them."""
        return closure(self._live.get, entry.filter)

    def segments(self, entries: Iterable[Entry]) -> tuple[Segment, ...]:
        """Those of the site; of a new one, those that follow from its interfaces."""
        return self._ground.site.segments if self._ground.site else segments_of(entries)

    def files(self, entries: Iterable[Entry]) -> dict[str, bytes]:
        """What is to be written, in an order in which the site is valid after each file."""
        chosen = tuple(entries)
        segments = self.segments(chosen)
        first = dict(self._foundation(segments)) if self._ground.is_new else {}
        filters = {f"filters/{each.name}.xml": format_filter(each) for each in self._filters(chosen)}
        guests = {path: self._guest(group, segments) for path, group in _by_path(chosen)}
        texts = first | filters | guests
        known = self._ground.files or {}
        files = {path: text.encode() for path, text in texts.items()}
        return {path: content for path, content in files.items() if known.get(path) != content}

    def guest(self, entries: tuple[Entry, ...]) -> str:
        """The file of one guest with these interfaces."""
        return self._guest(entries, self.segments(entries))

    def _foundation(self, segments: tuple[Segment, ...]) -> Iterator[tuple[str, str]]:
        from reconciler.load.schema import schemas

        note = f"Made by `reconciler adopt` of what libvirt had on {self._ground.host}."
        policy = policy_text(self._ground.live.kernel.supplement)
        yield SITE, head("site", "", note) + site_text(segments, self._ground.hosts) + policy
        for kind, schema in schemas().items():
            yield f"schema/{kind}.schema.json", json.dumps(schema, indent=2) + "\n"

    def _filters(self, entries: Iterable[Entry]) -> Iterator[NwFilter]:
        """Those that the site needs and lacks, each after all that it refers to."""
        names = dict.fromkeys(name for entry in entries for name in self.reached(entry))
        references = {name: [each for each in self._live[name].references if each in names] for name in sorted(names)}
        for name in TopologicalSorter(references).static_order():
            if self._is_needed(self._live[name]):
                yield self._live[name]

    def _is_needed(self, definition: NwFilter) -> bool:
        known = self._in_site.get(definition.name)
        if known is not None:
            return self._ground.force and known != definition
        is_stock = definition.name in STOCK_FILTERS and self._packaged.get(definition.name) == definition
        return not is_stock

    def _guest(self, entries: Iterable[Entry], segments: tuple[Segment, ...]) -> str:
        opening = head("guest", "../") if self._ground.is_new or self._ground.has_schema else ""
        placed = [(entry, place(entry, segments)) for entry in entries]
        return opening + guest_text(placed[0][0].guest, self._ground.hosts, placed)


def _by_path(entries: Iterable[Entry]) -> Iterator[tuple[str, tuple[Entry, ...]]]:
    return ((path, tuple(group)) for path, group in groupby(entries, key=lambda entry: entry.path))
