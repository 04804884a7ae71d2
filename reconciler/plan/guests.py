"""Steps that change guests: their filterrefs live and in their persistent definition, autostart, power, gates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reconciler.domain.match import match_nics
from reconciler.domain.rewrite import set_bridge, set_filterref, set_mac
from reconciler.model.filter import FilterRef, NwFilter
from reconciler.model.guest import Guest, Interface, Power
from reconciler.model.kernel import Family, ForeignRule
from reconciler.model.live import FILTERED_KINDS, Domain, Live, Nic
from reconciler.model.plan import (
    Action,
    ChangeLiveFilterref,
    DefineGuest,
    OpenGate,
    RaiseLinks,
    RebuildPort,
    RemoveRules,
    RewriteSave,
    SetAutostart,
    StartGuest,
    Step,
    SweepPort,
    Waiting,
    WaitReason,
)
from reconciler.model.site import Desired, Disruption
from reconciler.nwfilter.guard import wanted_filterref
from reconciler.nwfilter.installed import Installed
from reconciler.nwfilter.leftovers import leftover_ports
from reconciler.nwfilter.variables import closure
from reconciler.nwfilter.wanted import wanted_filters
from reconciler.plan.reach import Reach

_BY_HAND = "this version does not; do it by hand"
_NEEDS_RESTART = "the running guest keeps its MAC until it is shut down and started again"


class GuestPlanner:
    """Collects the steps of all guests on one host, and what has to wait because this version cannot do it.

    `redefined` are the filters that a step defines, and whether libvirt then rebuilds ports.
    """

    def __init__(
        self,
        desired: Desired,
        live: Live,
        host: str,
        redefined: Mapping[str, bool],
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
        self._known |= {definition.name: definition for definition in wanted_filters(desired, host)}
        self._installed = Installed(live.kernel)
        self._waiting: list[Waiting] = []
        self._removed: set[ForeignRule] = set()
        self._raised: set[Family] = set()

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
            changes = (*self._live_steps(guest, domain), *self._saved_steps(guest, domain))
            yield from changes
            yield from self._stored_steps(guest, domain, tuple(step.id for step in changes))
        yield from self._port_steps(frozenset(ports))

    def _port_steps(self, managed: frozenset[str]) -> Iterator[Step]:
        """Of ports that no guest of the site has: rules and gates that were left behind."""
        gone = leftover_ports(self._live.kernel, self._live.devices)
        for port in gone:
            yield Step(f"sweep:{port}", SweepPort(port), "libvirt left them behind; the port is no device any more")
        for port in sorted(self._live.gated - managed - {*gone}):
            reason = "an interrupted run closed it, and the site has no guest for it"
            yield Step(f"gate:{port}", OpenGate(port, None), reason)

    def _live_steps(self, guest: Guest, domain: Domain) -> Iterator[Step]:
        matched = match_nics((interface.mac for interface in guest.interfaces), domain.live)
        for interface in guest.interfaces:
            nic = matched.get(interface.mac)
            if domain.active and nic is None:
                self._wait(guest, f"give {guest.name} an interface with the MAC {interface.mac}")
            elif nic is not None and nic.mac != interface.mac:
                self._wait(guest, f"change the MAC {nic.mac} of {guest.name} to {interface.mac}", _NEEDS_RESTART)
            elif nic is not None:
                yield from self._nic_steps(guest, interface, nic)

    def _nic_steps(self, guest: Guest, interface: Interface, nic: Nic) -> Iterator[Step]:
        reference = wanted_filterref(guest.name, interface, nic.filterref, self._known.get)
        if nic.port is None:
            return
        cleared = tuple(self._foreign_steps(guest, nic))
        yield from cleared
        before = tuple(step.id for step in cleared)
        self._wait_for_bridge_calls(guest, interface, reference)
        binding = self._live.binding(nic.port)
        if nic.filterref != reference or _new_bridge(interface, nic):
            yield from self._switch(guest, interface, nic, reference, before)
        elif binding is None or binding.filterref != reference:
            yield self._rebuild(guest, interface, nic.port, reference, "its binding is not what its XML says", before)
        elif not self._is_redefined(reference) and self._kernel_differs(reference, interface.mac, nic):
            reason = "its rules in the kernel are not what they should be"
            yield self._rebuild(guest, interface, nic.port, reference, reason, before)
        elif nic.port in self._live.gated:
            action = OpenGate(nic.port, guest.name)
            yield self._step(f"gate:{nic.port}", action, "an interrupted run left it closed", (reference,), before)

    def _foreign_steps(self, guest: Guest, nic: Nic) -> Iterator[Step]:
        """Take away what names the port or opens it; a rule that opens several ports is taken away once."""
        assert nic.port is not None
        found = self._installed.foreign(nic.port, nic.source)
        removable = tuple(rule for rule in found if rule.removable and rule not in self._removed)
        self._removed.update(removable)
        if removable:
            reason = "a rule that libvirt does not ask for decides before the port's own"
            yield Step(f"foreign:{nic.port}", RemoveRules(guest.name, nic.port, removable), reason)
        families = tuple(sorted({rule.family for rule in found} - {Family.ETHERNET}))
        if families and not self._raised.issuperset(families):
            self._raised.update(families)
            yield Step("raise-links", RaiseLinks(families), "rules of others accept packets before libvirt's chains")
        for rule in found:
            if not rule.removable and rule.family is Family.ETHERNET:
                hint = f"it restricts every port: remove it by hand (ebtables -t nat -D {rule.text[3:]}), or ignore it"
                self._wait(guest, f"remove the rule `{rule.text}`", hint, Disruption.NONE)

    def _wait_for_bridge_calls(self, guest: Guest, interface: Interface, reference: FilterRef) -> None:
        for family in self._installed.unheeded(self._known.get, reference.filter):
            name = "iptables" if family is Family.IPV4 else "ip6tables"
            hint = (
                f"no bridged packet meets the {family} rules: sysctl net.bridge.bridge-nf-call-{name}=1 (br_netfilter)"
            )
            self._wait(guest, f"have {interface.mac}'s {family} rules heeded", hint, Disruption.NONE)

    def _switch(
        self, guest: Guest, interface: Interface, nic: Nic, reference: FilterRef, before: tuple[str, ...]
    ) -> Iterator[Step]:
        if nic.kind not in FILTERED_KINDS:
            self._wait(guest, f"filter {interface.mac}: libvirt filters no interface of type {nic.kind}")
            return
        assert nic.port is not None
        bridge = _new_bridge(interface, nic)
        moved = (bridge, nic.source) if bridge else (None, None)
        action = ChangeLiveFilterref(guest.name, interface.mac, nic.port, reference, nic.filterref, *moved)
        old = nic.filterref.filter if nic.filterref else "no filter"
        reason = f"the running interface has {old}"
        if nic.filterref is not None and nic.filterref.filter == reference.filter:
            reason = f"its variables of {old} differ from the site"
        if bridge:
            reason = f"the running interface is on {nic.source}"
        yield self._step(f"live:{guest.name}:{interface.mac}", action, reason, (reference,), before, rebuilds=1)

    def _saved_steps(self, guest: Guest, domain: Domain) -> Iterator[Step]:
        for state in domain.saved:
            references: list[FilterRef] = []
            text = state.xml
            differs = False
            for interface in guest.interfaces:
                nic = _nic(state.nics, interface.mac)
                reference = wanted_filterref(guest.name, interface, nic.filterref, self._known.get) if nic else None
                if nic is None or reference is None or nic.filterref == reference:
                    continue
                differs = True
                references.append(reference)
                text = set_filterref(text, interface.mac, reference) if state.can_be_rewritten else text
            if differs and state.can_be_rewritten:
                action = RewriteSave(guest.name, text, state.xml)
                yield self._step(f"saved:{guest.name}", action, "it would come back with another filter", references)
            elif differs:
                hint = "libvirt cannot change a snapshot: delete it, or take it anew after this"
                self._wait(guest, f"change the filter in {guest.name}'s {state.name}", hint, Disruption.NONE)

    def _rebuild(
        self,
        guest: Guest,
        interface: Interface,
        port: str,
        reference: FilterRef,
        reason: str,
        before: tuple[str, ...],
    ) -> Step:
        action = RebuildPort(guest.name, interface.mac, port, reference)
        return self._step(f"rebuild:{port}", action, reason, (reference,), before, rebuilds=1)

    def _stored_steps(self, guest: Guest, domain: Domain, before: tuple[str, ...]) -> Iterator[Step]:
        text = domain.persistent_xml
        references: list[FilterRef] = []
        matched = match_nics((interface.mac for interface in guest.interfaces), domain.persistent)
        for interface in guest.interfaces if domain.persistent else ():
            nic = matched.get(interface.mac)
            if nic is None:
                self._wait(guest, f"give {guest.name}'s definition an interface with the MAC {interface.mac}")
                continue
            reference = wanted_filterref(guest.name, interface, nic.filterref, self._known.get)
            references.append(reference)
            text = _stored_interface(text, interface, nic, reference)
        done = list(before)
        if text != domain.persistent_xml:
            action = DefineGuest(guest.name, text, domain.persistent_xml)
            step = self._step(f"guest:{guest.name}", action, "its definition differs from the site", references, before)
            done.append(step.id)
            yield step
        if domain.persistent and guest.autostart is not None and guest.autostart != domain.autostart:
            yield Step(f"autostart:{guest.name}", SetAutostart(guest.name, guest.autostart), "the site says so")
        yield from self._power_steps(guest, domain, references, tuple(done))

    def _power_steps(
        self, guest: Guest, domain: Domain, references: list[FilterRef], before: tuple[str, ...]
    ) -> Iterator[Step]:
        if guest.hosts and guest.hosts[0] != self._host:
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
        """Whether a step of the plan makes libvirt rebuild this reference's bindings anyway.

        A filter that libvirt has lost, and that a port still uses, is taken back without a rebuild.
        """
        return any(self._redefined.get(name) for name in self._reach.closure(reference.filter))

    def _kernel_differs(self, reference: FilterRef, mac: str, nic: Nic) -> bool:
        """Whether a rebuild is needed: not for rules that only have to be taken away."""
        assert nic.port is not None
        taken = {rule.text for rule in self._installed.foreign(nic.port, nic.source) if rule.removable}
        differences = self._installed.differences(self._known.get, reference, mac, nic.port)
        return any(not difference.only_adds(taken) for difference in differences)

    def _wait(
        self, guest: Guest, what: str, hint: str = _BY_HAND, disruption: Disruption = Disruption.GUEST_RESTART
    ) -> None:
        waiting = Waiting(f"guest/{guest.name}", what, WaitReason.UNSUPPORTED, hint, disruption)
        if waiting not in self._waiting:
            self._waiting.append(waiting)


def _new_bridge(interface: Interface, nic: Nic) -> str | None:
    """The bridge that an interface has to move to, None where it is on its own or the site owns none."""
    is_elsewhere = nic.kind == "bridge" and interface.bridge not in (None, nic.source)
    return interface.bridge if is_elsewhere else None


def _stored_interface(xml: str, interface: Interface, nic: Nic, reference: FilterRef) -> str:
    """A definition with one interface as the site wants it; the MAC last, since the interface is found by it."""
    bridge = _new_bridge(interface, nic)
    moved = set_bridge(xml, nic.mac, bridge) if bridge else xml
    return set_mac(set_filterref(moved, nic.mac, reference), nic.mac, interface.mac)


def _nic(nics: tuple[Nic, ...], mac: str) -> Nic | None:
    return next((nic for nic in nics if nic.mac == mac), None)
