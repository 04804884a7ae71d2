"""Steps that change guests: their filterrefs live and in their persistent definition, autostart, power, gates."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.domain.rewrite import set_filterref
from reconciler.model.drift import Layer
from reconciler.model.filter import FilterRef, NwFilter
from reconciler.model.guest import Guest, Interface, Power
from reconciler.model.live import FILTERED_KINDS, Binding, Domain, Live, Nic
from reconciler.model.plan import (
    Action,
    ChangeLiveFilterref,
    DefineGuest,
    OpenGate,
    RebuildPort,
    SetAutostart,
    StartGuest,
    Step,
    Waiting,
    WaitReason,
)
from reconciler.model.site import Desired, Disruption
from reconciler.nwfilter.installed import Installed, are_all_missing
from reconciler.nwfilter.tolerance import Tolerance
from reconciler.nwfilter.variables import closure
from reconciler.nwfilter.wanted import wanted_filters
from reconciler.plan.reach import Reach


class GuestPlanner:
    """Collects the steps of all guests on one host, and what has to wait because this version cannot do it."""

    def __init__(
        self,
        desired: Desired,
        live: Live,
        host: str,
        redefined: frozenset[str],
        reach: Reach,
        rebuild_seconds: float,
    ) -> None:
        self._desired = desired
        self._live = live
        self._host = host
        self._redefined = redefined
        self._reach = reach
        self._seconds = rebuild_seconds
        self._known: dict[str, NwFilter] = {f.definition.name: f.definition for f in live.filters}
        self._tolerance = Tolerance(desired.ignore)
        wanted = self._tolerance.filters(wanted_filters(desired, host), live)
        self._known |= {definition.name: definition for definition in wanted}
        self._installed = Installed(live.kernel)
        self._waiting: list[Waiting] = []

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        return tuple(self._waiting)

    def steps(self) -> Iterator[Step]:
        ports: set[str] = set()
        for guest in self._desired.guests_on(self._host):
            domain = self._live.domain(guest.name)
            if domain is None:
                continue
            ports.update(nic.port for nic in domain.live if nic.port)
            changes = tuple(self._live_steps(guest, domain))
            yield from changes
            yield from self._stored_steps(guest, domain, tuple(step.id for step in changes))
        for port in sorted(self._live.gated - ports):
            yield Step(
                f"gate:{port}",
                OpenGate(port, None),
                "an interrupted run closed it, and the site has no guest for it",
            )

    def _live_steps(self, guest: Guest, domain: Domain) -> Iterator[Step]:
        for interface in guest.interfaces:
            nic = _nic(domain.live, interface.mac)
            if domain.active and nic is None:
                if not self._ignores(guest, interface.mac, Layer.LIVE):
                    self._wait(guest, f"give {guest.name} an interface with the MAC {interface.mac}")
            elif nic is not None:
                yield from self._nic_steps(guest, interface, nic)

    def _nic_steps(self, guest: Guest, interface: Interface, nic: Nic) -> Iterator[Step]:
        moved = interface.bridge is not None and nic.kind == "bridge" and interface.bridge != nic.source
        if moved and not self._ignores(guest, f"{interface.mac}.bridge", Layer.LIVE):
            self._wait(guest, f"move {interface.mac} from bridge {nic.source} to {interface.bridge}")
        reference = self._tolerance.interface(guest.name, interface, Layer.LIVE, nic.filterref, self._known.get)
        if nic.port is None or self._tolerance.leaves_unfiltered(guest.name, interface, Layer.LIVE, nic.filterref):
            return
        if nic.filterref != reference:
            yield from self._switch(guest, interface, nic, reference)
            return
        binding = self._live.binding(nic.port)
        reference = self._tolerance.bound(guest.name, interface.mac, reference, binding)
        if self._binding_differs(guest, interface, reference, binding):
            yield self._rebuild(guest, interface, nic.port, reference, "its binding is not what its XML says")
        elif not self._is_redefined(reference) and self._kernel_differs(guest, reference, interface.mac, nic.port):
            yield self._rebuild(
                guest, interface, nic.port, reference, "its rules in the kernel are not what they should be"
            )
        elif nic.port in self._live.gated and not self._ignores(guest, f"{interface.mac}.gate", Layer.KERNEL):
            action = OpenGate(nic.port, guest.name)
            yield self._step(f"gate:{nic.port}", action, "an interrupted run left it closed", (reference,))

    def _switch(self, guest: Guest, interface: Interface, nic: Nic, reference: FilterRef) -> Iterator[Step]:
        if nic.kind not in FILTERED_KINDS:
            self._wait(guest, f"filter {interface.mac}: libvirt filters no interface of type {nic.kind}")
            return
        assert nic.port is not None
        action = ChangeLiveFilterref(guest.name, interface.mac, nic.port, reference, nic.filterref)
        old = nic.filterref.filter if nic.filterref else "no filter"
        reason = f"the running interface has {old}"
        if nic.filterref is not None and nic.filterref.filter == reference.filter:
            reason = f"its variables of {old} differ from the site"
        yield self._step(f"live:{guest.name}:{interface.mac}", action, reason, (reference,), rebuilds=1)

    def _rebuild(self, guest: Guest, interface: Interface, port: str, reference: FilterRef, reason: str) -> Step:
        action = RebuildPort(guest.name, interface.mac, port, reference)
        return self._step(f"rebuild:{port}", action, reason, (reference,), rebuilds=1)

    def _stored_steps(self, guest: Guest, domain: Domain, before: tuple[str, ...]) -> Iterator[Step]:
        text = domain.persistent_xml
        references: list[FilterRef] = []
        for interface in guest.interfaces:
            if not domain.persistent:
                continue
            nic = _nic(domain.persistent, interface.mac)
            if nic is None:
                if not self._ignores(guest, interface.mac, Layer.PERSISTENT):
                    self._wait(guest, f"give {guest.name}'s definition an interface with the MAC {interface.mac}")
                continue
            if self._tolerance.leaves_unfiltered(guest.name, interface, Layer.PERSISTENT, nic.filterref):
                continue
            reference = self._tolerance.interface(
                guest.name, interface, Layer.PERSISTENT, nic.filterref, self._known.get
            )
            references.append(reference)
            text = set_filterref(text, interface.mac, reference)
        done = list(before)
        if text != domain.persistent_xml:
            action = DefineGuest(guest.name, text, domain.persistent_xml)
            step = self._step(f"guest:{guest.name}", action, "its definition differs from the site", references, before)
            done.append(step.id)
            yield step
        is_owned = domain.persistent and not self._ignores(guest, "autostart", Layer.PERSISTENT)
        if is_owned and guest.autostart is not None and guest.autostart != domain.autostart:
            yield Step(f"autostart:{guest.name}", SetAutostart(guest.name, guest.autostart), "the site says so")
        yield from self._power_steps(guest, domain, references, tuple(done))

    def _power_steps(
        self, guest: Guest, domain: Domain, references: list[FilterRef], before: tuple[str, ...]
    ) -> Iterator[Step]:
        if (guest.hosts and guest.hosts[0] != self._host) or self._ignores(guest, "power", Layer.LIVE):
            return
        if guest.power is Power.RUNNING and not domain.active:
            yield self._step(
                f"start:{guest.name}", StartGuest(guest.name), "the site wants it running", references, before
            )
        if guest.power is Power.STOPPED and domain.active:
            self._wait(guest, f"shut {guest.name} down")

    def _step(
        self,
        identifier: str,
        action: Action,
        reason: str,
        references: tuple[FilterRef, ...] | list[FilterRef],
        before: tuple[str, ...] = (),
        rebuilds: int = 0,
    ) -> Step:
        filters = tuple(
            f"filter:{name}"
            for r in references
            for name in closure(self._known.get, r.filter)
            if name in self._redefined
        )
        disruption = Disruption.REBUILD if rebuilds else Disruption.NONE
        return Step(identifier, action, reason, disruption, rebuilds, rebuilds * self._seconds, (*filters, *before))

    def _is_redefined(self, reference: FilterRef) -> bool:
        """Whether a step of the plan makes libvirt rebuild this reference's bindings anyway."""
        return bool(self._redefined.intersection(self._reach.closure(reference.filter)))

    def _binding_differs(
        self, guest: Guest, interface: Interface, reference: FilterRef, binding: Binding | None
    ) -> bool:
        if binding is None:
            return not self._ignores(guest, f"{interface.mac}.binding", Layer.LIVE)
        return binding.filterref != reference

    def _kernel_differs(self, guest: Guest, reference: FilterRef, mac: str, port: str) -> bool:
        differences = self._installed.differences(self._known.get, reference, mac, port)
        if are_all_missing(differences):
            return not self._ignores(guest, f"{mac}.rules", Layer.KERNEL)
        return any(not self._ignores(guest, f"{mac}.rules.{each.chain}", Layer.KERNEL) for each in differences)

    def _ignores(self, guest: Guest, field: str, layer: Layer) -> bool:
        return self._tolerance.ignores(f"guest/{guest.name}", field, layer)

    def _wait(self, guest: Guest, what: str) -> None:
        waiting = Waiting(
            f"guest/{guest.name}",
            what,
            WaitReason.UNSUPPORTED,
            "this version does not; do it by hand",
            Disruption.GUEST_RESTART,
        )
        if waiting not in self._waiting:
            self._waiting.append(waiting)


def _nic(nics: tuple[Nic, ...], mac: str) -> Nic | None:
    return next((nic for nic in nics if nic.mac == mac), None)
