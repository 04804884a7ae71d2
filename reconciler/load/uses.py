"""Which interfaces use which filters: noted once, for the checks that need to know an interface's variables."""

from __future__ import annotations

from reconciler.load.draft import InterfaceDraft
from reconciler.load.filter_rules import Use
from reconciler.load.filters import FilterSet
from reconciler.load.siteview import SiteView
from reconciler.load.variables import compile_variables
from reconciler.model.origin import Origin


class Uses:
    """Compiled only where a check looks at them: at every use of a marked filter, and once for equal shapes.

    The shape of an interface is all on which it depends whether libvirt can make its rules: of its addresses, which
    have been checked, only the number.
    """

    def __init__(self, site: SiteView, filters: FilterSet) -> None:
        self._site = site
        self._filters = filters
        self._shapes: set[object] = set()
        self.of_marked_filters: list[Use] = []
        self.of_each_shape: list[tuple[Use, Origin]] = []

    def note(self, draft: InterfaceDraft, filter: str) -> None:
        given = tuple((name, str(value)) for name, value in draft.entry.parameters.items())
        shape = (filter, len(draft.ipv4), len(draft.ipv6), draft.entry.segment, given)
        marked, known = self._filters.marked(filter), shape in self._shapes
        if known and not marked:
            return
        self._shapes.add(shape)
        variables = compile_variables(draft, filter, self._site, self._filters)
        use = Use(draft.guest, draft.entry.mac, filter, variables)
        if marked:
            self.of_marked_filters.append(use)
        if not known:
            self.of_each_shape.append((use, draft.node.at("filter").origin))
