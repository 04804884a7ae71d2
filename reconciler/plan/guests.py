"""Steps that change guests: what is stored of them, autostart and power; the rest is in `running` and `saved`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from reconciler.domain.match import copies, match_nics
from reconciler.domain.rewrite import set_bridge, set_filterref, set_mac
from reconciler.model.actions import DefineGuest, SetAutostart, StartGuest
from reconciler.model.disruption import Disruption
from reconciler.model.drift import Layer
from reconciler.model.filter import FilterRef
from reconciler.model.guest import Guest, Interface, Power
from reconciler.model.live import FILTERED_KINDS, Domain, Nic, SavedState
from reconciler.model.plan import Step
from reconciler.plan.ground import Ground
from reconciler.plan.restarts import down_and_up, goes_down, shut_down
from reconciler.plan.running import new_bridge, running_steps, strangers_of
from reconciler.plan.saved import saved_steps
from reconciler.plan.strangers import Strangers


def guest_steps(ground: Ground) -> Iterator[Step]:
    """The steps of all guests on the host, and of the ports that no guest of the site has."""
    strangers = Strangers(ground)
    ports: set[str] = set()
    for guest in ground.desired.guests_on(ground.host):
        domain = ground.live.domain(guest.name)
        if domain is None:
            continue
        ports.update(nic.port for nic in domain.live if nic.port)
        going = goes_down(ground, guest, domain)
        running = (strangers_of if going else running_steps)(ground, strangers, guest, domain)
        changes = (*running, *saved_steps(ground, guest, domain))
        yield from changes
        yield from _stored_steps(ground, guest, domain, tuple(step.id for step in changes))
    yield from strangers.port_steps(frozenset(ports))


def _stored_steps(ground: Ground, guest: Guest, domain: Domain, before: tuple[str, ...]) -> Iterator[Step]:
    """What is stored is changed while the guest is down where it has to be: so a revert starts it as it was."""
    text, references = _stored_definition(ground, guest, domain)
    stop, start = down_and_up(ground, guest, domain, references, before)
    stopped = tuple(step.id for step in stop if ground.allows(step.disruption))
    done = [*before, *stopped]
    yield from stop
    if text != domain.persistent_xml:
        ports = () if stopped else tuple(nic.port for nic in domain.live if nic.port)
        action = DefineGuest(guest.name, text, domain.persistent_xml, ports)
        step = ground.step(f"guest:{guest.name}", action, "its definition differs from the site", references, done)
        done.append(step.id)
        yield step
    is_owned = domain.persistent and not ground.ignores(guest, "autostart", Layer.PERSISTENT)
    if is_owned and guest.autostart is not None and guest.autostart != domain.autostart:
        yield Step(f"autostart:{guest.name}", SetAutostart(guest.name, guest.autostart), "the site says so")
    yield from _power_steps(ground, guest, domain, references, tuple(done))
    yield from (replace(step, after=(*step.after, *done)) for step in start)


def _stored_definition(ground: Ground, guest: Guest, domain: Domain) -> tuple[str, list[FilterRef]]:
    """The guest's definition as it shall be, and the filters that it refers to then."""
    text = domain.persistent_xml
    references: list[FilterRef] = []
    matched = match_nics((interface.mac for interface in guest.interfaces), domain.persistent)
    for interface in guest.interfaces if domain.persistent else ():
        nic, found = matched.get(interface.mac), copies(domain.persistent, interface.mac)
        if found > 1:
            ground.wait_for_one(guest, interface.mac, found)
            continue
        if nic is None:
            if not ground.ignores(guest, interface.mac, Layer.PERSISTENT):
                ground.wait(guest, f"give {guest.name}'s definition an interface with the MAC {interface.mac}")
            continue
        if nic.kind not in FILTERED_KINDS:
            ground.wait_for_filter(guest, interface.mac, nic.kind)
        elif not ground.leaves_unfiltered(guest, interface, Layer.PERSISTENT, nic.filterref):
            reference = ground.reference(guest, interface, Layer.PERSISTENT, nic.filterref)
            references.append(reference)
            text = text if nic.filterref == reference else set_filterref(text, nic.mac, reference)
        text = _moved(ground, guest, interface, nic, text)
    return text, references


def _moved(ground: Ground, guest: Guest, interface: Interface, nic: Nic, text: str) -> str:
    """With the bridge and the MAC that the site wants; the MAC last, since the interface is found by it."""
    bridge = new_bridge(interface, nic)
    if bridge and not ground.ignores(guest, f"{interface.mac}.bridge", Layer.PERSISTENT):
        text = set_bridge(text, nic.mac, bridge)
    if ground.ignores(guest, f"{interface.mac}.mac", Layer.PERSISTENT):
        return text
    return set_mac(text, nic.mac, interface.mac)


def _power_steps(
    ground: Ground, guest: Guest, domain: Domain, references: list[FilterRef], before: tuple[str, ...]
) -> Iterator[Step]:
    if not ground.acts_on_power(guest):
        return
    image = domain.managed_save
    if guest.power is Power.RUNNING and image and not domain.active and _other_macs(guest, image):
        hint = "discard its managed-save image (virsh managedsave-remove), or start and shut it down by hand"
        ground.wait(guest, f"start guest {guest.name}, whose image has other MACs than the site", hint, Disruption.NONE)
    elif guest.power is Power.RUNNING and not domain.active:
        # What an image held is gone once its guest has run: then it is left running.
        action = StartGuest(guest.name, None if image else shut_down(ground, guest))
        yield ground.step(f"start:{guest.name}", action, "the site wants it running", references, before)


def _other_macs(guest: Guest, image: SavedState) -> bool:
    """An image cannot be given other MACs: its guest would have to be started anew as soon as it is started."""
    return not {interface.mac for interface in guest.interfaces} <= {nic.mac for nic in image.nics}
