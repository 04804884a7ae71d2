"""What each kind of step needs to find, and what it does."""

from __future__ import annotations

from functools import singledispatch

from reconciler.domain.compare import same_definition
from reconciler.domain.parse import parse_nics
from reconciler.errors import HostError, StaleError
from reconciler.execute.ports import change_live_filterref, live_nic, open_gate, rebuild_port, sweep_port
from reconciler.host.protocol import Host
from reconciler.model.plan import (
    Action,
    ChangeLiveFilterref,
    DefineFilter,
    DefineGuest,
    OpenGate,
    RaiseLinks,
    RebuildPort,
    RemoveRules,
    RewriteSave,
    SetAutostart,
    StartGuest,
    SweepPort,
    UndefineFilter,
)
from reconciler.nwfilter.installed import Installed
from reconciler.nwfilter.parse import parse_dump, parse_filter


def is_done(action: Action, host: Host) -> bool:
    """Whether a step that failed left its object changed all the same, so that its inverse has work to do."""
    inverse = action.inverse()
    return inverse is not None and bool(_surprise(action, host)) and not _surprise(inverse, host)


def check(action: Action, host: Host) -> None:
    """Raise `StaleError` when the object is no longer what the plan was made for (promise P7)."""
    surprise = _surprise(action, host)
    if surprise:
        raise StaleError(
            f"{action.target} was changed by somebody else since the plan was made ({surprise}); it was not touched",
            hint="run it again: the next plan starts from what is there now",
        )


@singledispatch
def _surprise(action: Action, host: Host) -> str:
    raise TypeError(f"no such action: {action!r}")


@_surprise.register
def _(action: DefineFilter, host: Host) -> str:
    held = host.find_filter(action.name)
    if held is None:
        return "" if action.previous_xml is None else "it is gone"
    if action.previous_xml is None:
        return "it exists already"
    return "" if held.definition == parse_dump(action.previous_xml) else "its definition differs"


@_surprise.register
def _(action: UndefineFilter, host: Host) -> str:
    held = host.find_filter(action.name)
    if held is None:
        return ""
    return "" if held.definition == parse_dump(action.previous_xml) else "its definition differs"


@_surprise.register
def _(action: ChangeLiveFilterref, host: Host) -> str:
    nic = live_nic(host, action.guest, action.mac)
    if nic is None or nic.port != action.port:
        return f"its interface {action.mac} is not on port {action.port} any more"
    return "" if nic.filterref == action.previous else "the filter of its running interface differs"


@_surprise.register
def _(action: DefineGuest, host: Host) -> str:
    domain = host.find_domain(action.guest)
    if domain is None:
        return "it is gone"
    return "" if same_definition(domain.persistent_xml, action.previous_xml) else "its persistent definition differs"


@_surprise.register
def _(action: SetAutostart, host: Host) -> str:
    domain = host.find_domain(action.guest)
    return "" if domain and domain.autostart != action.autostart else "its autostart differs"


@_surprise.register
def _(action: StartGuest, host: Host) -> str:
    return "" if host.find_domain(action.guest) else "it is gone"


@_surprise.register
def _(action: RebuildPort, host: Host) -> str:
    nic = live_nic(host, action.guest, action.mac)
    return "" if nic and nic.port == action.port else f"its port {action.port} is gone"


@_surprise.register
def _(action: RewriteSave, host: Host) -> str:
    domain = host.find_domain(action.guest)
    image = domain.managed_save if domain else None
    if image is None:
        return "it has no managed-save image any more"
    return "" if same_definition(image.xml, action.previous_xml) else "the definition in its image differs"


@_surprise.register
def _(action: RemoveRules | RaiseLinks, host: Host) -> str:
    return ""


@_surprise.register
def _(action: SweepPort, host: Host) -> str:
    return "the port is back" if action.port in host.devices() else ""


@_surprise.register
def _(action: OpenGate, host: Host) -> str:
    return "" if action.port in host.gated() else "its gate is open"


@singledispatch
def perform(action: Action, host: Host) -> None:
    """Do it and read back that it was done; raises `HostError` when it was not."""
    raise TypeError(f"no such action: {action!r}")


@perform.register
def _(action: DefineFilter, host: Host) -> None:
    host.define_filter(action.xml)
    held = host.find_filter(action.name)
    if held is None or held.definition != parse_filter(action.xml):
        raise HostError(f"libvirt accepted the filter {action.name} and holds another definition")


@perform.register
def _(action: UndefineFilter, host: Host) -> None:
    host.undefine_filter(action.name)


@perform.register
def _(action: ChangeLiveFilterref, host: Host) -> None:
    change_live_filterref(action, host)


@perform.register
def _(action: DefineGuest, host: Host) -> None:
    host.define_domain(action.xml)


@perform.register
def _(action: SetAutostart, host: Host) -> None:
    host.set_autostart(action.guest, action.autostart)


@perform.register
def _(action: StartGuest, host: Host) -> None:
    domain = host.find_domain(action.guest)
    if domain is not None and not domain.active:
        host.start_domain(action.guest)


@perform.register
def _(action: RebuildPort, host: Host) -> None:
    rebuild_port(action, host)


@perform.register
def _(action: RewriteSave, host: Host) -> None:
    host.define_managed_save(action.guest, action.xml)
    domain = host.find_domain(action.guest)
    image = domain.managed_save if domain else None
    if image is None or image.nics != parse_nics(action.xml):
        raise HostError(f"libvirt accepted the definition in {action.guest}'s image and holds another one")


@perform.register
def _(action: RemoveRules, host: Host) -> None:
    host.remove_rules(action.rules)
    left = {rule.text for rule in Installed(host.rules(packets=True)).foreign(action.port)}
    found = next((rule for rule in action.rules if rule.text in left), None)
    if found is not None:
        raise HostError(f"the rule `{found.text}` is still there after it was deleted")


@perform.register
def _(action: RaiseLinks, host: Host) -> None:
    host.raise_links(action.families)


@perform.register
def _(action: SweepPort, host: Host) -> None:
    sweep_port(action, host)


@perform.register
def _(action: OpenGate, host: Host) -> None:
    open_gate(action, host)
