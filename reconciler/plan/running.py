"""Steps that change running guests: filterrefs and bridges, bindings, the rules in the kernel, and gates."""

from __future__ import annotations

import re
from collections.abc import Iterator

from reconciler.domain.match import copies, match_nics
from reconciler.model.actions import ChangeLiveFilterref, OpenGate, RebuildPort
from reconciler.model.disruption import Disruption
from reconciler.model.drift import Layer
from reconciler.model.filter import FilterRef
from reconciler.model.guest import Guest, Interface
from reconciler.model.kernel import Family
from reconciler.model.live import FILTERED_KINDS, Binding, Domain, Nic
from reconciler.model.plan import Step
from reconciler.nwfilter.installed import are_all_missing
from reconciler.plan.ground import Ground
from reconciler.plan.strangers import Strangers

_LITERAL = re.compile(r"""[^\s"'\\]*[^\s"'\\*+]""")
"""A device's name that is no pattern of names to nft (`tap*`) or to ebtables and iptables (`tap+`)."""


def running_steps(ground: Ground, strangers: Strangers, guest: Guest, domain: Domain) -> Iterator[Step]:
    macs = tuple(interface.mac for interface in guest.interfaces)
    matched, stored = match_nics(macs, domain.live), match_nics(macs, domain.persistent)
    for interface in guest.interfaces:
        nic, found = matched.get(interface.mac), copies(domain.live, interface.mac)
        if found > 1:
            ground.wait_for_one(guest, interface.mac, found)
        elif domain.active and nic is None:
            if not stored.get(interface.mac) and not ground.ignores(guest, interface.mac, Layer.LIVE):
                ground.wait(guest, f"give {guest.name} an interface with the MAC {interface.mac}")
        elif nic is not None and nic.mac != interface.mac:
            # Only a restart changes a MAC, and a guest without a stored definition does not come back.
            if not domain.persistent:
                ground.wait(guest, f"change the MAC {nic.mac} of {guest.name} to {interface.mac}")
        elif nic is not None and ground.live.has_lost(nic):
            hint = "give the device its name back, or restart the guest: rules of that name meet none of its frames"
            ground.wait(guest, f"find port {nic.port} of {guest.name}, which is no device of this host", hint)
        elif nic is not None and nic.port is not None and not _LITERAL.fullmatch(nic.port):
            hint = "give it a <target dev='…'> of letters, digits, dots and dashes"
            ground.wait(guest, f"change port {nic.port} of {guest.name}, whose name nft or ebtables misread", hint)
        elif nic is not None and nic.port is not None:
            yield from _Interface(ground, guest, interface, nic, nic.port).steps(strangers)


def strangers_of(ground: Ground, strangers: Strangers, guest: Guest, domain: Domain) -> Iterator[Step]:
    """Of a guest that goes down only what others did to its ports: its next port would meet their rules too."""
    matched = match_nics((interface.mac for interface in guest.interfaces), domain.live)
    for interface in guest.interfaces:
        nic = matched.get(interface.mac)
        if nic is not None and nic.port is not None:
            yield from strangers.nic_steps(guest, interface, nic, nic.port)


def new_bridge(interface: Interface, nic: Nic) -> str | None:
    """The bridge that an interface has to move to, None where it is on its own or the site owns none."""
    is_elsewhere = nic.kind == "bridge" and interface.bridge not in (None, nic.source)
    return interface.bridge if is_elsewhere else None


class _Interface:
    """One interface of a running guest, on its port."""

    def __init__(self, ground: Ground, guest: Guest, interface: Interface, nic: Nic, port: str) -> None:
        self._ground = ground
        self._guest = guest
        self._interface = interface
        self._mac = interface.mac
        self._nic = nic
        self._port = port

    def steps(self, strangers: Strangers) -> Iterator[Step]:
        ground, guest, nic = self._ground, self._guest, self._nic
        if ground.leaves_unfiltered(guest, self._interface, Layer.LIVE, nic.filterref):
            return
        cleared = tuple(strangers.nic_steps(guest, self._interface, nic, self._port))
        yield from cleared
        before = tuple(step.id for step in cleared)
        reference = ground.reference(guest, self._interface, Layer.LIVE, nic.filterref)
        self._wait_for_bridge_calls(reference)
        if nic.filterref != reference or self._bridge():
            yield from self._switch(reference, before)
            return
        binding = ground.live.binding(self._port)
        reference = ground.bound(guest, self._mac, reference, binding)
        if self._binding_differs(reference, binding):
            yield self._rebuild(reference, "its binding is not what its XML says", before)
        elif not ground.is_rebuilt(reference) and self._kernel_differs(reference):
            yield self._rebuild(reference, "its rules in the kernel are not what they should be", before)
        elif self._port in ground.live.gated and not ground.ignores(guest, f"{self._mac}.gate", Layer.KERNEL):
            action = OpenGate(self._port, guest.name)
            reason = "an interrupted run left it closed"
            yield ground.step(f"gate:{self._port}", action, reason, (reference,), before)

    def _bridge(self) -> str | None:
        ignored = self._ground.ignores(self._guest, f"{self._mac}.bridge", Layer.LIVE)
        return None if ignored else new_bridge(self._interface, self._nic)

    def _switch(self, reference: FilterRef, before: tuple[str, ...]) -> Iterator[Step]:
        nic, guest = self._nic, self._guest
        if nic.kind not in FILTERED_KINDS:
            self._ground.wait_for_filter(guest, self._mac, nic.kind)
            return
        bridge = self._bridge()
        moved = (bridge, nic.source) if bridge else (None, None)
        action = ChangeLiveFilterref(guest.name, self._mac, self._port, reference, nic.filterref, *moved)
        identifier = f"live:{guest.name}:{self._mac}"
        yield self._ground.step(identifier, action, self._why(reference, bridge), (reference,), before, rebuilds=1)

    def _why(self, reference: FilterRef, bridge: str | None) -> str:
        if bridge:
            return f"the running interface is on {self._nic.source}"
        old = self._nic.filterref.filter if self._nic.filterref else "no filter"
        if old == reference.filter:
            return f"its variables of {old} differ from the site"
        return f"the running interface has {old}"

    def _rebuild(self, reference: FilterRef, reason: str, before: tuple[str, ...]) -> Step:
        action = RebuildPort(self._guest.name, self._mac, self._port, reference)
        return self._ground.step(f"rebuild:{self._port}", action, reason, (reference,), before, rebuilds=1)

    def _binding_differs(self, reference: FilterRef, binding: Binding | None) -> bool:
        if binding is None:
            return not self._ground.ignores(self._guest, f"{self._mac}.binding", Layer.LIVE)
        return binding.filterref != reference

    def _kernel_differs(self, reference: FilterRef) -> bool:
        """Whether a rebuild is needed: not for rules that only have to be taken away."""
        installed, mac = self._ground.installed, self._mac
        differences = installed.differences(self._ground.lookup, reference, mac, self._port)
        if are_all_missing(differences):
            return not self._ground.ignores(self._guest, f"{mac}.rules", Layer.KERNEL)
        taken = {rule.text for rule in installed.foreign(self._port, self._nic.source) if rule.removable}
        matters = (each for each in differences if not each.only_adds(taken))
        return not all(self._ground.ignores(self._guest, f"{mac}.rules.{each.chain}", Layer.KERNEL) for each in matters)

    def _wait_for_bridge_calls(self, reference: FilterRef) -> None:
        for family in self._ground.installed.unheeded(self._ground.lookup, reference.filter):
            if self._ground.ignores(self._guest, f"{self._mac}.rules.br_netfilter.{family}", Layer.KERNEL):
                continue
            switch = f"net.bridge.bridge-nf-call-{'iptables' if family is Family.IPV4 else 'ip6tables'}=1"
            hint = f"no bridged packet meets the {family} rules: sysctl {switch} (module br_netfilter)"
            self._ground.wait(self._guest, f"have {self._mac}'s {family} rules heeded", hint, Disruption.NONE)
