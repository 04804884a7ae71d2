"""What a managed-save image or a snapshot would bring back: the one is rewritten, the other can only be told."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.domain.match import copies
from reconciler.domain.rewrite import set_filterref
from reconciler.model.actions import RewriteSave
from reconciler.model.disruption import Disruption
from reconciler.model.drift import Layer
from reconciler.model.filter import FilterRef
from reconciler.model.guest import Guest
from reconciler.model.live import FILTERED_KINDS, Domain, SavedState
from reconciler.model.plan import Step
from reconciler.plan.ground import Ground


def saved_steps(ground: Ground, guest: Guest, domain: Domain) -> Iterator[Step]:
    for state in domain.saved:
        changes = dict(_changes(ground, guest, state))
        if changes and state.can_be_rewritten:
            text = state.xml
            for mac, reference in changes.items():
                text = set_filterref(text, mac, reference)
            action = RewriteSave(guest.name, text, state.xml)
            reason = "it would come back with another filter"
            yield ground.step(f"saved:{guest.name}", action, reason, changes.values())
        elif changes:
            hint = "libvirt cannot change a snapshot: delete it, or take it anew after this"
            ground.wait(guest, f"change the filter in {guest.name}'s {state.name}", hint, Disruption.NONE)


def _changes(ground: Ground, guest: Guest, state: SavedState) -> Iterator[tuple[str, FilterRef]]:
    """The filterrefs that differ, by MAC; interfaces that the state does not have are no matter of it."""
    nics = {nic.mac: nic for nic in state.nics}
    for interface in guest.interfaces:
        nic = nics.get(interface.mac)
        if nic is None or nic.kind not in FILTERED_KINDS:
            continue
        if (found := copies(state.nics, interface.mac)) > 1:
            ground.wait_for_one(guest, interface.mac, found)
            continue
        reference = ground.reference(guest, interface, Layer.SAVED, nic.filterref, f"{state.name}.")
        field = f"{state.name}.{interface.mac}.filterref"
        if nic.filterref != reference and not ground.ignores(guest, field, Layer.SAVED):
            yield interface.mac, reference
