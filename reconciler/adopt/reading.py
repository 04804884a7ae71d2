"""A guest as libvirt has it, interface by interface: what the site can say of it, and why not of the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping

from reconciler.adopt.entry import BY_HAND, Entry, Inexpressible, Variables
from reconciler.adopt.variables import read_variables
from reconciler.load.filters import RESERVED_PREFIX
from reconciler.load.values import BRIDGE_NAME, GUEST_NAME, is_shared_name
from reconciler.model.adoption import Omission
from reconciler.model.filter import FilterRef, NwFilter
from reconciler.model.guest import Attach, guard_name
from reconciler.model.live import FILTERED_KINDS, Domain, Live, Nic
from reconciler.nwfilter.guard import LEARNING, learns_addresses, without_learning
from reconciler.nwfilter.variables import closure, filter_variables

_NO_LEARNING = (LEARNING, "none")


class Reading:
    """One inspection of a host, asked about its guests."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._owned = {f.definition.name for f in live.filters if f.owned}
        self.filters: Mapping[str, NwFilter] = {f.definition.name: f.definition for f in live.filters}

    def guest(self, domain: Domain) -> tuple[list[Entry], list[Omission]]:
        """Its interfaces in the order of its XML; one omission of the whole guest where it cannot have a file."""
        macs = dict.fromkeys(nic.mac for nic in (*domain.persistent, *domain.live))
        if why := _unfit(domain.name, macs):
            return [], [Omission(f"guest/{domain.name}", why.reason, why.hint, missing=bool(macs))]
        entries: list[Entry] = []
        omissions: list[Omission] = []
        for mac in macs:
            try:
                entries.append(self._entry(domain, mac))
            except Inexpressible as this:
                omissions.append(Omission(f"guest/{domain.name}/{mac}", this.reason, this.hint))
        return entries, omissions

    def _entry(self, domain: Domain, mac: str) -> Entry:
        nic = _settled(domain, mac)
        if nic.kind not in FILTERED_KINDS:
            raise Inexpressible(f"libvirt filters no interface of type {nic.kind}", "attach it to a bridge")
        if nic.filterref is None:
            hint = "write it into the guest's file with its addresses: apply then gives it a filter"
            raise Inexpressible("it has no filter, so whatever it sends passes", hint)
        bridge = nic.source if nic.kind == "bridge" and re.fullmatch(BRIDGE_NAME, nic.source or "") else None
        inner = self._behind_guard(domain.name, nic.mac, nic.filterref)
        attach, reference = (Attach.GUARD, inner) if inner else (Attach.DIRECT, nic.filterref)
        return Entry(domain.name, mac, reference.filter, attach, bridge, self._variables(reference, nic, attach))

    def _behind_guard(self, guest: str, mac: str, reference: FilterRef) -> FilterRef | None:
        """What this interface's own guard refers to; None where it has none that we made."""
        if reference.filter not in self._owned or reference.filter != guard_name(guest, mac):
            return None
        guard = self.filters[reference.filter]
        match guard.entries:
            case (FilterRef() as inner,) if guard == NwFilter(guard.name, entries=(inner,)):
                pass
            case _:
                hint = "apply the site that it comes from, and adopt the guest again"
                raise Inexpressible(f"its guard {guard.name} is not as it was made", hint)
        if reference.parameters != (_NO_LEARNING,):
            reason = f"its filterref to {guard.name} is not as it was made: it needs {LEARNING}=none and nothing else"
            raise Inexpressible(reason, "apply the site that it comes from, and adopt the guest again")
        return inner

    def _variables(self, reference: FilterRef, nic: Nic, attach: Attach) -> Variables:
        self._check_filters(reference.filter)
        if attach is Attach.DIRECT:
            self._check_learning(reference, nic)
        names = closure(self.filters.get, reference.filter)
        used = frozenset().union(*(filter_variables(self.filters[name]) for name in names))
        return read_variables(reference, used)

    def _check_filters(self, root: str) -> None:
        for name in closure(self.filters.get, root):
            said = f"its filter is {name}" if name == root else f"its filter {root} reaches {name}"
            if name not in self.filters:
                raise Inexpressible(f"{said}, which libvirt does not have, so it cannot start", "define the filter")
            if not is_shared_name(name):
                hint = "rename the filter: lower-case letters, digits, . _ and -, 63 at most"
                raise Inexpressible(f"{said}, a name that the site cannot have", hint)
            if name.startswith(RESERVED_PREFIX):
                hint = "give the guest another filter: the site makes guards itself, one for each interface"
                raise Inexpressible(f"{said}, a name that is kept for guards, and not this interface's own", hint)

    def _check_learning(self, reference: FilterRef, nic: Nic) -> None:
        if learns_addresses(self.filters.get, reference):
            learns = (
                "takes what DHCP gives the guest" if _by_dhcp(reference) else "lets the guest keep the first it shows"
            )
            hint = "write the addresses that it shall have into the guest's file by hand: apply then sets them"
            raise Inexpressible(f"its filterref sets no IP, and libvirt {learns}{self._learned(nic)}", hint)
        if reference.values(LEARNING) not in ((), ("none",)):
            values = ", ".join(reference.values(LEARNING))
            raise Inexpressible(f"its filterref sets {LEARNING} to {values}, and the site to none", BY_HAND)

    def _learned(self, nic: Nic) -> str:
        binding = self._live.binding(nic.port) if nic.port else None
        addresses = binding.filterref.values("IP") if binding else ()
        return f" (now {', '.join(addresses)})" if addresses else ""


def _by_dhcp(reference: FilterRef) -> bool:
    return any(value.lower() == "dhcp" for value in reference.values(LEARNING))


def _unfit(name: str, macs: Mapping[str, None]) -> Inexpressible | None:
    if not re.fullmatch(GUEST_NAME, name):
        hint = "rename it (virsh domrename): letters, digits, . _ and -, 63 at most"
        return Inexpressible("its name is none that a file of the site can have", hint)
    return None if macs else Inexpressible("it has no interface", "there is nothing to filter")


def _settled(domain: Domain, mac: str) -> Nic:
    """The one interface with a MAC, running and stored alike."""
    stored, running = ([nic for nic in nics if nic.mac == mac] for nics in (domain.persistent, domain.live))
    if not mac:
        raise Inexpressible("its XML gives it no MAC", "give it one: the site tells interfaces by their MAC")
    if max(len(stored), len(running)) > 1:
        raise Inexpressible("several interfaces of the guest have this MAC", "give each a MAC of its own")
    if not (domain.active and domain.persistent_xml):
        return (*running, *stored)[0]
    if not stored or not running:
        where = "stored definition" if stored else "running guest"
        hint = "restart the guest, or plug the interface in or out on both sides"
        raise Inexpressible(f"only the {where} has it", hint)
    one, other = _essence(running[0]), _essence(stored[0])
    if one != other:
        what = next(name for name in one if one[name] != other[name])
        hint = "make both alike, by a restart of the guest or by `virsh define`, and adopt it again"
        raise Inexpressible(f"the running guest and its stored definition differ in its {what}", hint)
    return running[0]


def _essence(nic: Nic) -> dict[str, object]:
    """What must be alike; `without_learning` because that alone makes no difference."""
    filter = nic.filterref.filter if nic.filterref else None
    parameters = without_learning(nic.filterref).parameters if nic.filterref else None
    source = nic.source if nic.kind == "bridge" else None
    return {"type": nic.kind, "bridge": source, "filter": filter, "filter's variables": parameters}
