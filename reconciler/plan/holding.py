"""Steps that wait because somebody, or another host, has to do something first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reconciler.model.guest import guard_name
from reconciler.model.plan import Step, WaitReason
from reconciler.model.site import Desired

HOST = "host"

Hold = tuple[WaitReason, str]
Holds = Mapping[str, Hold]
"""`host`, `guest/NAME` or `filter/NAME` → why what would change it waits, and what ends that."""


def held_steps(steps: Iterable[Step], desired: Desired, host: str, holds: Holds) -> dict[str, Hold]:
    """Ids of the steps that would change what is held; a guest's guards are a part of it."""
    if not holds:
        return {}
    guards = {
        f"filter/{guard_name(guest.name, interface.mac)}": f"guest/{guest.name}"
        for guest in desired.guests_on(host)
        for interface in guest.interfaces
    }
    found = {}
    for step in steps:
        target = step.action.target
        named = next((each for each in (HOST, target, guards.get(target)) if each in holds), None)
        if named is not None:
            found[step.id] = holds[named]
    return found


def is_suspended(guest: str, holds: Holds) -> bool:
    """Then not even its rules are built again; one that waits for an address goes on as it is."""
    return holds.get(f"guest/{guest}", (None, ""))[0] is WaitReason.SUSPENDED
