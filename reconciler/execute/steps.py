"""What each kind of step needs to find, and what it does."""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch

from reconciler.domain.compare import same_definition
from reconciler.domain.parse import parse_nics
from reconciler.errors import HostError, HostTimeout, StaleError
from reconciler.execute.ports import (
    change_live_filterref,
    is_down,
    live_nic,
    open_gate,
    rebuild_port,
    require_rules,
    sweep_port,
)
from reconciler.host.protocol import Host
from reconciler.model.actions import (
    Action,
    ChangeLiveFilterref,
    CloseGate,
    DefineFilter,
    DefineGuest,
    OpenGate,
    RaiseLinks,
    RebuildPort,
    RemoveRules,
    RestartDaemon,
    RewriteSave,
    SetAutostart,
    SetSupplement,
    ShutDownGuest,
    StartGuest,
    SweepPort,
    UndefineFilter,
    VerifyPort,
)
from reconciler.nwfilter.format import format_filter
from reconciler.nwfilter.guard import temporary_uuid
from reconciler.nwfilter.installed import Installed
from reconciler.nwfilter.parse import parse_dump, parse_filter
from reconciler.nwfilter.supplement import with_rules


def is_done(action: Action, host: Host) -> bool:
    """Whether a step that failed left its object changed all the same, so that its inverse has work to do."""
    inverse = action.inverse()
    return inverse is not None and bool(surprise(action, host)) and not surprise(inverse, host)


def check(action: Action, host: Host) -> None:
    """Raise `StaleError` when the object is no longer what the plan was made for (promise P7)."""
    found = surprise(action, host)
    if found:
        raise StaleError(
            f"{action.target} was changed by somebody else since the plan was made ({found}); it was not touched",
            hint="run it again: the next plan starts from what is there now",
        )


@singledispatch
def surprise(action: Action, host: Host) -> str:
    """What is not as the step needs to find it, empty when all is."""
    raise TypeError(f"no such action: {action!r}")


@surprise.register
def _(action: DefineFilter, host: Host) -> str:
    held = host.find_filter(action.name)
    if held is None:
        return "" if action.previous_xml is None else "it is gone"
    if action.previous_xml is None:
        return "it exists already"
    return "" if held.definition == parse_dump(action.previous_xml) else "its definition differs"


@surprise.register
def _(action: UndefineFilter, host: Host) -> str:
    held = host.find_filter(action.name)
    if held is None:
        return ""
    return "" if held.definition == parse_dump(action.previous_xml) else "its definition differs"


@surprise.register
def _(action: ChangeLiveFilterref, host: Host) -> str:
    nic = live_nic(host, action.guest, action.mac)
    if nic is None and is_down(host, action.guest):
        return ""
    if nic is None or nic.port != action.port:
        return f"its interface {action.mac} is not on port {action.port} any more"
    return "" if nic.filterref == action.previous else "the filter of its running interface differs"


@surprise.register
def _(action: DefineGuest, host: Host) -> str:
    domain = host.find_domain(action.guest)
    if domain is None:
        return ""
    return "" if same_definition(domain.persistent_xml, action.previous_xml) else "its persistent definition differs"


@surprise.register
def _(action: SetAutostart, host: Host) -> str:
    domain = host.find_domain(action.guest)
    return "" if domain is None or domain.autostart != action.autostart else "its autostart differs"


@surprise.register
def _(action: StartGuest, host: Host) -> str:
    return "" if host.find_domain(action.guest) else "it is gone"


@surprise.register
def _(action: ShutDownGuest, host: Host) -> str:
    domain = host.find_domain(action.guest)
    return "" if domain and domain.persistent_xml else "it is gone, or would be when it is down"


@surprise.register
def _(action: CloseGate | VerifyPort, host: Host) -> str:
    nic = live_nic(host, action.guest, action.mac)
    return "" if nic and nic.port == action.port else f"its port {action.port} is gone"


@surprise.register
def _(action: RestartDaemon, host: Host) -> str:
    for name, text in action.previous:
        held = host.find_filter(name)
        if held is None or held.definition != parse_filter(text):
            return f"the definition of {name} differs"
    return ""


@surprise.register
def _(action: RebuildPort, host: Host) -> str:
    nic = live_nic(host, action.guest, action.mac)
    if nic is None and is_down(host, action.guest):
        return ""
    return "" if nic and nic.port == action.port else f"its port {action.port} is gone"


@surprise.register
def _(action: RewriteSave, host: Host) -> str:
    domain = host.find_domain(action.guest)
    image = domain.managed_save if domain else None
    if image is None:
        return "it has no managed-save image any more"
    return "" if same_definition(image.xml, action.previous_xml) else "the definition in its image differs"


@surprise.register
def _(action: RemoveRules | RaiseLinks, host: Host) -> str:
    return ""


@surprise.register
def _(action: SweepPort, host: Host) -> str:
    return "the port is back" if action.port in host.devices() else ""


@surprise.register
def _(action: SetSupplement, host: Host) -> str:
    found = host.supplement()
    return "" if (found.elements if found else None) == action.replaced else "the rules of nft beside libvirt's differ"


@surprise.register
def _(action: OpenGate, host: Host) -> str:
    return "" if action.port in host.gated() else "its gate is open"


@singledispatch
def perform(action: Action, host: Host) -> None:
    """Do it and read back that it was done; raises `HostError` when it was not."""
    raise TypeError(f"no such action: {action!r}")


@perform.register
def _(action: DefineFilter, host: Host) -> None:
    try:
        host.define_filter(action.xml)
    except HostTimeout:
        raise
    except HostError:
        _bring_back(action, host)
        raise
    held = host.find_filter(action.name)
    if held is None or held.definition != parse_filter(action.xml):
        raise HostError(f"libvirt accepted the filter {action.name} and holds another definition")


def _bring_back(action: DefineFilter, host: Host) -> None:
    """A definition that libvirt could not save is in force, and its filter gone: with it nothing could be taken back.

    Defined again it is new to libvirt, which builds nothing; changed then to the previous one it is built.
    """
    if action.previous_xml is None or host.find_filter(action.name) is not None:
        return
    try:
        host.define_filter(action.xml)
        host.define_filter(action.previous_xml)
    except HostTimeout:
        raise
    except HostError:
        return  # it still cannot be saved: the next run begins with it


@perform.register
def _(action: UndefineFilter, host: Host) -> None:
    host.undefine_filter(action.name)


@perform.register
def _(action: ChangeLiveFilterref, host: Host) -> None:
    if not is_down(host, action.guest):
        change_live_filterref(action, host)


@perform.register
def _(action: DefineGuest, host: Host) -> None:
    if host.find_domain(action.guest) is None:
        return
    host.define_domain(action.xml)
    if action.ports is not None and _was_started(action, action.ports, host):
        raise StaleError(
            f"guest {action.guest} was started by somebody else before its new definition was written: it may hold "
            "what the old one had",
            hint="run it again: the next plan starts from what is there now",
        )


def _was_started(action: DefineGuest, ports: tuple[str, ...], host: Host) -> bool:
    """Looked at after the definition is written: who starts the guest from then on starts it with that."""
    domain = host.find_domain(action.guest)
    stored = {nic.mac for nic in parse_nics(action.previous_xml)}
    return any(nic.mac in stored and nic.port not in ports for nic in domain.live) if domain else False


@perform.register
def _(action: SetAutostart, host: Host) -> None:
    if host.find_domain(action.guest) is not None:
        host.set_autostart(action.guest, action.autostart)


@perform.register
def _(action: StartGuest, host: Host) -> None:
    domain = host.find_domain(action.guest)
    if domain is not None and not domain.active:
        host.start_domain(action.guest)


@perform.register
def _(action: ShutDownGuest, host: Host) -> None:
    domain = host.find_domain(action.guest)
    if domain is None or not domain.active or host.shut_down_domain(action.guest, action.seconds):
        return
    if not action.destroy:
        raise HostError(
            f"guest {action.guest} did not shut down within {action.seconds} s; it was left running",
            hint="look at its console; policy: shutdown: on_timeout: destroy kills such a guest",
        )
    host.destroy_domain(action.guest)


@perform.register
def _(action: CloseGate, host: Host) -> None:
    host.close_gate(action.port)


@perform.register
def _(action: VerifyPort, host: Host) -> None:
    require_rules(host, action.port, action.mac, action.filterref)


@perform.register
def _(action: RestartDaemon, host: Host) -> None:
    """With files that libvirt cannot use it would not start again: then those that were there are put back."""
    for name, text in action.files:
        _try_definition(name, text, host)
    try:
        host.write_filter_files(action.files)
        host.restart_daemon()
    except HostTimeout:
        raise
    except HostError:
        host.write_filter_files(action.previous)
        host.restart_daemon()
        raise


def _try_definition(name: str, text: str, host: Host) -> None:
    """Have libvirt read a definition under a name that nobody uses: a bad file would keep it from starting."""
    scratch = f"{name[:_SCRATCH_LENGTH]}.scratch"
    wanted = parse_filter(text)
    draft = replace(wanted, name=scratch)
    host.define_filter(format_filter(draft, temporary_uuid(scratch)))
    held = host.find_filter(scratch)
    try:
        host.undefine_filter(scratch)
    except HostTimeout:
        raise
    except HostError:
        host.undefine_filter(scratch)  # else the next run finds it by its mark
        raise
    if held is None or held.definition != draft:
        raise HostError(f"libvirt makes another definition of the filter {name}; its file was not written")


_SCRATCH_LENGTH = 50


@perform.register
def _(action: RebuildPort, host: Host) -> None:
    if not is_down(host, action.guest):
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


@perform.register
def _(action: SetSupplement, host: Host) -> None:
    wanted = None if action.wanted is None else with_rules(action.wanted, action.limit)
    host.set_supplement(wanted, keep_rules=action.keeps_rules)
    found = host.supplement()
    if wanted and found and action.keeps_rules:
        wanted = replace(wanted, rules=found.rules, others=found.others)
    if found != wanted:
        raise HostError("nft took the rules beside libvirt's, and lists others")
