"""Change the rules of a running port with its gate closed (promise P3).

libvirt takes a port's rules away before it builds the new ones whenever the guest's own filterref changes
(qemuDomainChangeNetFilter tears down, then instantiates). So the gate closes first, and opens only when the new
rules have been read back from the kernel.
"""

from __future__ import annotations

from collections.abc import Callable

from reconciler.errors import HostError, HostTimeout
from reconciler.host.protocol import Host
from reconciler.model.actions import ChangeLiveFilterref, OpenGate, RebuildPort, SweepPort
from reconciler.model.filter import FilterRef, NwFilter
from reconciler.model.kernel import KernelRule
from reconciler.model.live import Nic
from reconciler.nwfilter.installed import Installed
from reconciler.nwfilter.prove import port_rules
from reconciler.nwfilter.wanted import has_packet_rules


class PortStaysClosed(HostError):
    """Neither the new nor the old rules could be proven, so the gate was left closed."""


def change_live_filterref(action: ChangeLiveFilterref, host: Host) -> None:
    """Switch a running interface to another filterref.

    On failure the old filterref is put back, its rules are compared with those found before, and the gate
    opens; if that fails too it stays closed and `PortStaysClosed` says so.
    """
    before = port_rules(host.rules().ethernet, action.port)
    host.close_gate(action.port)
    try:
        _switch(action, host)
        require_rules(host, action.port, action.mac, action.filterref)
    except HostTimeout:
        raise
    except HostError as failure:
        _put_back(action, host, before, failure)
        raise
    if not action.stays_closed:
        host.open_gate(action.port)


def rebuild_port(action: RebuildPort, host: Host) -> None:
    """Build a port's rules anew; when they do not come out complete the port stays closed."""
    host.close_gate(action.port)
    try:
        host.rebuild_binding(action.port, action.guest, action.filterref)
        require_rules(host, action.port, action.mac, action.filterref)
    except HostTimeout:
        raise
    except HostError as failure:
        raise _stays_closed(action.port, action.guest, failure) from failure
    host.open_gate(action.port)


def open_gate(action: OpenGate, host: Host) -> None:
    """Open a port that was left closed, once its rules are complete; a port that is gone has nothing to prove."""
    binding = host.find_binding(action.port)
    if binding is not None:
        require_rules(host, action.port, binding.mac, binding.filterref)
    elif action.guest is not None:
        raise HostError(f"port {action.port} has no binding; its gate stays closed")
    host.open_gate(action.port)


def sweep_port(action: SweepPort, host: Host) -> None:
    """Delete the rules of a port that is gone, behind its gate: a guest may get a port of that name meanwhile."""
    host.close_gate(action.port)
    if action.port not in host.devices():
        host.sweep_port(action.port)
    if action.port in host.devices():
        raise PortStaysClosed(
            f"port {action.port} came back while its old rules were deleted; it was left closed, nothing passes it",
            hint="apply again: the port opens when its rules are proven",
        )
    host.open_gate(action.port)


def is_down(host: Host, guest: str) -> bool:
    """A guest that was stopped since the plan was made has no port, and nothing of it is to be changed any more.

    One that was saved comes back with what it had: that is another matter.
    """
    domain = host.find_domain(guest)
    return domain is None or not (domain.active or domain.managed_save)


def live_nic(host: Host, guest: str, mac: str) -> Nic | None:
    domain = host.find_domain(guest)
    return next((nic for nic in domain.live if nic.mac == mac), None) if domain else None


def _switch(action: ChangeLiveFilterref, host: Host) -> None:
    host.set_live_filterref(action.guest, action.mac, action.filterref, action.bridge)
    if not _took(action, host):
        # libvirt compares values as sets of equal count ([a, b] is [b, a], [a, b] is [a, a]) and then changes
        # nothing (virNWFilterVarValueEqual); by way of no filter at all the change is always seen.
        host.set_live_filterref(action.guest, action.mac, None)
        host.set_live_filterref(action.guest, action.mac, action.filterref)
        if not _took(action, host):
            raise HostError(f"libvirt accepted the new filter of {action.guest}'s {action.mac} and did not take it")


def _took(action: ChangeLiveFilterref, host: Host) -> bool:
    nic = live_nic(host, action.guest, action.mac)
    binding = host.find_binding(action.port)
    bound = binding.filterref if binding else None
    moved = action.bridge is None or (nic is not None and nic.source == action.bridge)
    return nic is not None and moved and nic.filterref == action.filterref and bound == action.filterref


def require_rules(host: Host, port: str, mac: str, filterref: FilterRef | None) -> None:
    """Read the port's rules back and compare them with what its filterref asks for, rule by rule.

    Rules of others in front of them are not libvirt's to build: those that the site does not ignore were taken away
    before, and what came meanwhile is found by the last look.
    """
    if filterref is None:
        return
    lookup = _definitions(host)
    rules = host.rules(packets=has_packet_rules(lookup, filterref.filter))
    installed = Installed(rules)
    others = {rule.text for rule in installed.foreign(port)}
    differences = [d for d in installed.differences(lookup, filterref, mac, port) if not d.only_adds(others)]
    if differences:
        chains = ", ".join(difference.chain for difference in differences)
        raise HostError(f"the kernel's rules of port {port} are not what its filter asks for, in {chains}")


def _definitions(host: Host) -> Callable[[str], NwFilter | None]:
    def lookup(name: str) -> NwFilter | None:
        held = host.find_filter(name)
        return held.definition if held else None

    return lookup


def _put_back(action: ChangeLiveFilterref, host: Host, before: tuple[KernelRule, ...], failure: HostError) -> None:
    nic = live_nic(host, action.guest, action.mac)
    if nic is None:
        host.open_gate(action.port)
        return
    try:
        host.set_live_filterref(action.guest, action.mac, action.previous, action.previous_bridge)
        if action.previous is not None and port_rules(host.rules().ethernet, action.port) != before:
            # libvirt puts the old rules back itself, by nft after what is left of the new ones.
            host.rebuild_binding(action.port, action.guest, action.previous)
    except HostTimeout:
        raise
    except HostError as second:
        raise _stays_closed(action.port, action.guest, second) from failure
    if port_rules(host.rules().ethernet, action.port) != before:
        raise _stays_closed(action.port, action.guest, failure) from failure
    if not action.closed_before:
        host.open_gate(action.port)


def _stays_closed(port: str, guest: str, reason: HostError) -> PortStaysClosed:
    return PortStaysClosed(
        f"{reason.message}; port {port} of guest {guest} was left closed, nothing passes it",
        hint="put the reason right and apply again: the port opens when its rules are proven",
    )
