"""Which interfaces use which filters: noted once, for the checks that need to know an interface's variables."""

from __future__ import annotations

from reconciler.load.draft import InterfaceDraft, given_parameters
from reconciler.load.filter_rules import Use
from reconciler.load.filters import FilterSet
from reconciler.load.siteview import SiteView
from reconciler.load.variables import compile_variables
from reconciler.model.faultless import Faultless
from reconciler.model.origin import Origin

_Shape = tuple[str, int, int, str | None, tuple[tuple[str, str], ...]]


class Uses:
    """Compiled only where a check looks at them: at every use of a marked filter, and once for equal shapes.

    The shape of an interface is all on which it depends whether libvirt can make its rules: of its addresses, which
    have been checked, only the number.
    """

    def __init__(self, site: SiteView, filters: FilterSet) -> None:
        self._site = site
        self._filters = filters
        self._shapes: set[_Shape] = set()
        self.of_marked_filters: list[Use] = []
        self.of_each_shape: list[tuple[Use, Origin]] = []

    def note(self, draft: InterfaceDraft, filter: str) -> None:
        shape = (filter, len(draft.ipv4), len(draft.ipv6), draft.entry.segment, given_parameters(draft))
        if self._asks(shape):
            variables = compile_variables(draft, filter, self._site, self._filters)
            self._add(shape, Use(draft.guest, draft.entry.mac, filter, variables), draft.node.at("filter").origin)

    def note_known(self, known: Faultless, path: str) -> None:
        for nic, traits in zip(known.guest.interfaces, known.traits, strict=True):
            shape = (nic.filter, len(nic.ipv4), len(nic.ipv6), nic.segment, traits.given)
            if self._asks(shape):
                use = Use(known.guest.name, nic.mac, nic.filter, nic.parameters)
                self._add(shape, use, Origin(path, *traits.filter))

    def _asks(self, shape: _Shape) -> bool:
        return shape not in self._shapes or bool(self._filters.marked(shape[0]))

    def _add(self, shape: _Shape, use: Use, place: Origin) -> None:
        if self._filters.marked(use.filter):
            self.of_marked_filters.append(use)
        if shape not in self._shapes:
            self._shapes.add(shape)
            self.of_each_shape.append((use, place))
