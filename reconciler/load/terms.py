"""On what site.yaml and the filters say an interface's own checks depend: equal terms, equal answers."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

from reconciler.load.draft import InterfaceDraft
from reconciler.load.filters import FilterSet
from reconciler.load.findings import Findings
from reconciler.load.siteview import SiteView
from reconciler.load.variables import select_filter
from reconciler.model.faultless import Faultless


class Terms:
    """Of a site.yaml that is whole: what was cut out of one might have said anything."""

    def __init__(self, site: SiteView, filters: FilterSet) -> None:
        self._site = site
        self._filters = filters
        gateways = [(name, entry.bridge, entry.gateways) for name, entry in site.file.segments.items()]
        self._common = repr((tuple(site.file.hosts), site.file.defaults, [each for each in gateways if each[2]]))
        self._of = cache(self._said)

    def of(self, draft: InterfaceDraft) -> str | None:
        """None for an interface of which too little can be said."""
        filter = select_filter(draft, self._site, self._filters, Findings())
        return self._of(draft.entry.segment, draft.entry.filter, filter) if filter else None

    def hold_for(self, known: Faultless) -> bool:
        pairs = zip(known.guest.interfaces, known.traits, strict=True)
        return all(traits.terms == self._of(nic.segment, traits.choice, nic.filter) for nic, traits in pairs)

    def _said(self, segment: str | None, choice: str | None, filter: str) -> str | None:
        site, filters = self._site.file, self._filters
        if filter in filters.unclear or not filters.exists(filter):
            return None
        name = choice or site.defaults.filter or ""
        needs = sorted(filters.used(filter)), sorted(filters.required(filter))
        said = (self._common, segment, site.segments.get(segment or ""), name, site.filters.get(name), filter, needs)
        return sha256(repr(said).encode()).hexdigest()[:32]
