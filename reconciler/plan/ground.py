"""What all steps of one plan stand on: the site, the host, and what is foretold and ignored between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reconciler.model.actions import Action
from reconciler.model.disruption import Disruption
from reconciler.model.drift import Layer
from reconciler.model.filter import FilterRef, NwFilter
from reconciler.model.guest import Guest, Interface
from reconciler.model.live import Binding, Live
from reconciler.model.plan import Step, Waiting, WaitReason
from reconciler.model.site import Desired
from reconciler.nwfilter.installed import Installed
from reconciler.nwfilter.tolerance import Tolerance
from reconciler.nwfilter.variables import closure
from reconciler.plan.rates import Rates
from reconciler.plan.reach import Reach

BY_HAND = "this version does not; do it by hand"


class Ground:
    """One plan's inputs, and what has to wait because this version cannot do it.

    `wanted` are the site's filters as its ignored differences leave them. `redefined` are those that a step defines,
    and whether libvirt then rebuilds ports.
    """

    def __init__(
        self,
        desired: Desired,
        live: Live,
        host: str,
        wanted: Iterable[NwFilter],
        redefined: Mapping[str, bool],
        reach: Reach,
        rates: Rates,
        most: Disruption,
    ) -> None:
        self.desired = desired
        self.live = live
        self.host = host
        self.rates = rates
        self._most = most
        self.tolerance = Tolerance(desired.ignore)
        self.installed = Installed(live.kernel)
        self._redefined = redefined
        self._reach = reach
        self._known: dict[str, NwFilter] = {f.definition.name: f.definition for f in live.filters}
        self._known |= {definition.name: definition for definition in wanted}
        self._waiting: dict[Waiting, None] = {}

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        return tuple(self._waiting)

    def lookup(self, name: str) -> NwFilter | None:
        """A filter as it will be."""
        return self._known.get(name)

    def allows(self, disruption: Disruption) -> bool:
        return disruption <= self._most

    def acts_on_power(self, guest: Guest) -> bool:
        """Only on the first of its hosts."""
        is_first = not guest.hosts or guest.hosts[0] == self.host
        return is_first and not self.ignores(guest, "power", Layer.LIVE)

    def reference(
        self, guest: Guest, interface: Interface, layer: Layer, found: FilterRef | None, within: str = ""
    ) -> FilterRef:
        return self.tolerance.interface(guest.name, interface, layer, found, self.lookup, within)

    def leaves_unfiltered(self, guest: Guest, interface: Interface, layer: Layer, found: FilterRef | None) -> bool:
        return self.tolerance.leaves_unfiltered(guest.name, interface, layer, found)

    def bound(self, guest: Guest, mac: str, reference: FilterRef, binding: Binding | None) -> FilterRef:
        return self.tolerance.bound(guest.name, mac, reference, binding)

    def ignores(self, guest: Guest, field: str, layer: Layer) -> bool:
        return self.tolerance.ignores(f"guest/{guest.name}", field, layer)

    def is_rebuilt(self, reference: FilterRef) -> bool:
        """Whether a step of the plan makes libvirt rebuild this reference's bindings anyway.

        A filter that libvirt has lost, and that a port still uses, is taken back without a rebuild.
        """
        return any(self._redefined.get(name) for name in self._reach.closure(reference.filter))

    def step(
        self,
        identifier: str,
        action: Action,
        reason: str,
        references: Iterable[FilterRef] = (),
        before: Iterable[str] = (),
        rebuilds: int = 0,
    ) -> Step:
        """A step after the definitions of all filters that its references reach, and after those `before`."""
        filters = tuple(
            f"filter:{name}"
            for reference in references
            for name in closure(self.lookup, reference.filter)
            if name in self._redefined
        )
        disruption = Disruption.REBUILD if rebuilds else Disruption.NONE
        seconds = rebuilds * self.rates.rebuild
        return Step(identifier, action, reason, disruption, rebuilds, seconds, (*filters, *before))

    def wait(
        self, guest: Guest, what: str, hint: str = BY_HAND, disruption: Disruption = Disruption.GUEST_RESTART
    ) -> None:
        """Say that something is left, once however often it is met."""
        self._waiting[Waiting(f"guest/{guest.name}", what, WaitReason.UNSUPPORTED, hint, disruption)] = None

    def wait_for_one(self, guest: Guest, mac: str, copies: int) -> None:
        """Several interfaces of one MAC: none is touched, since it could be the wrong one."""
        what = f"tell apart the {copies} interfaces of {guest.name} with the MAC {mac}"
        self.wait(guest, what, "give each a MAC of its own, and the site their interfaces", Disruption.NONE)

    def wait_for_filter(self, guest: Guest, mac: str, kind: str) -> None:
        """An interface of a type that libvirt cannot filter: it drops the filterref without a word."""
        what = f"filter {mac}: libvirt filters no interface of type {kind}"
        self.wait(guest, what, "attach it to a bridge, or leave it out of the site")
