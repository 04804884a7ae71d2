"""libvirt's daemon and its kernel as a `Host`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import libvirt

from reconciler.domain.binding import binding_xml, parse_binding
from reconciler.domain.parse import parse_nics
from reconciler.domain.rewrite import interface_xml, set_bridge, set_filterref
from reconciler.errors import HostError, HostUnreachable, ReconcilerError
from reconciler.host.address import DaemonAddress, namespaces_of, network_devices, parse_uri, proc_of
from reconciler.host.answers import Answers, FilterText
from reconciler.host.backend import backend_of_settings
from reconciler.host.daemons import Starter, starter
from reconciler.host.deadline import ANSWER_SECONDS, BATCH_SECONDS, PROGRAMS_SECONDS, Job, Worker, begin_all
from reconciler.host.filter_files import write_filter_files
from reconciler.host.filter_folder import definition_names, filter_folder
from reconciler.host.kernel import Kernel
from reconciler.host.packaged import packaged_filters
from reconciler.host.reading import (
    ABSENT,
    GuestState,
    list_guests,
    read_bindings,
    read_filters,
    read_guests,
    state_of,
)
from reconciler.host.rule_programs import Command
from reconciler.host.session import Session, open_again, open_session
from reconciler.host.shutdown import shut_down
from reconciler.host.understanding import domain_of, filter_of
from reconciler.host.well_formed import well_formed
from reconciler.model.filter import FilterRef, NwFilter
from reconciler.model.kernel import Family, ForeignRule, KernelRules
from reconciler.model.live import Binding, Domain, Live, LiveFilter
from reconciler.model.probe import Probe
from reconciler.model.supplement import Supplement
from reconciler.nwfilter.wanted import has_packet_rules

T = TypeVar("T")
U = TypeVar("U")

_DEADLINE_FACTOR = 5.0
_GONE = (libvirt.VIR_ERR_RPC, libvirt.VIR_ERR_NO_CONNECT, libvirt.VIR_ERR_AUTH_FAILED)


def open_host(uri: str, rebuild_seconds: float = 2.0) -> LibvirtHost:
    """Connect to a local system daemon.

    `rebuild_seconds` is what one binding's rebuild takes on this host; deadlines of calls that rebuild follow it.
    Raises `UsageError` for a daemon of another machine, `HostUnreachable` when it does not answer.
    """
    address = parse_uri(uri)
    return LibvirtHost(address, open_session(address), rebuild_seconds)


class LibvirtHost:
    """One connection. Calls that change something never overlap; what is only read is read by several threads."""

    def __init__(self, address: DaemonAddress, session: Session, rebuild_seconds: float) -> None:
        self._address = address
        self._session = session
        self._beside = Worker()
        self._rebuild_seconds = rebuild_seconds
        self._bindings = 0
        self._domains_known: dict[bytes, Domain] = {}
        self._filters_known: dict[bytes, LiveFilter] = {}
        self._starter: Starter | None = None

    @property
    def _connection(self) -> Any:
        return self._session.connection

    @property
    def _kernel(self) -> Kernel:
        return self._kernel_noted({})

    def _kernel_noted(self, noted: dict[Command, str | None]) -> Kernel:
        return Kernel(self._session.within, backend_of_settings(self._session.settings), noted)

    @property
    def _root(self) -> Path:
        """The daemon's file system, also while it is down for a restart."""
        return self._starter.root if self._starter else proc_of(self._session.pid) / "root"

    @property
    def _daemon(self) -> int:
        return self._session.pid

    def close(self) -> None:
        """Hang up; a daemon that no longer answers is left to itself."""
        self._session.close()
        self._beside.close()

    def inspect(self, filters: Iterable[str] = ()) -> Live:
        answers = Answers(self._session.settings)
        kernel = self._kernel_noted(answers.programs)
        begun_rules = self._beside.begin("read the kernel's rules", partial(_ethernet_rules, kernel))
        listed = self._session.worker.begin("list the guests", lambda: list_guests(self._connection))
        answers.files = definition_names(filter_folder(self._root))
        roots = tuple(dict.fromkeys((*filters, *answers.files)))
        begun = self._begin_all(roots, "filters", self._filter_texts)
        domains = self._domains(listed, answers)
        bindings = self._list_bindings(answers)
        self._bindings = len(bindings)
        referenced = (nic.filterref.filter for d in domains for nic in (*d.persistent, *d.live) if nic.filterref)
        held = self._closure(answers, begun, (*referenced, *(b.filterref.filter for b in bindings)))
        definitions = {f.definition.name: f.definition for f in held}
        packets = any(has_packet_rules(definitions.get, binding.filterref.filter) for binding in bindings)
        closed, rules = self._beside.end(begun_rules, PROGRAMS_SECONDS)
        rules = kernel.with_packets(rules) if packets else rules
        answers.devices = self.devices()
        return Live(domains, held, bindings, rules, closed, answers.devices, answers.account())

    def find_filter(self, name: str) -> LiveFilter | None:
        (text,) = self._ask(f"read the filter {name}", lambda: self._filter_texts((name,)))
        return filter_of(text)

    def find_domain(self, name: str) -> Domain | None:
        handle = self._find(f"look up the guest {name}", lambda: self._connection.lookupByName(name))
        found = self._ask(f"read the guest {name}", lambda: read_guests([(handle, state_of(handle))])) if handle else ()
        return domain_of(found[0]) if found else None

    def find_binding(self, port: str) -> Binding | None:
        handle = self._find(
            f"look up the binding of {port}", lambda: self._connection.nwfilterBindingLookupByPortDev(port)
        )
        return None if handle is None else parse_binding(well_formed(self._ask(f"read {port}", handle.XMLDesc)))

    def packaged_filters(self) -> tuple[NwFilter, ...]:
        return packaged_filters(self._daemon)

    def rules(self, packets: bool = False) -> KernelRules:
        return self._kernel.rules(packets)

    def gated(self) -> frozenset[str]:
        return self._kernel.gated()

    def define_filter(self, xml: str) -> None:
        self._write("define a filter", lambda: self._connection.nwfilterDefineXML(xml))

    def undefine_filter(self, name: str) -> None:
        handle = self._find(f"look up the filter {name}", lambda: self._connection.nwfilterLookupByName(name))
        if handle is not None:
            self._write(f"undefine the filter {name}", handle.undefine)

    def define_domain(self, xml: str) -> None:
        self._write("define a guest", lambda: self._connection.defineXML(xml))

    def set_autostart(self, guest: str, autostart: bool) -> None:
        handle = self._required_domain(guest)
        self._write(f"set autostart of {guest}", lambda: handle.setAutostart(int(autostart)))

    def start_domain(self, guest: str) -> None:
        self._write(f"start the guest {guest}", self._required_domain(guest).create)

    def shut_down_domain(self, guest: str, seconds: float) -> bool:
        handle = self._required_domain(guest)
        return shut_down(handle, seconds, lambda what, function: self._write(f"{what} {guest}", function))

    def destroy_domain(self, guest: str) -> None:
        self._write(f"destroy the guest {guest}", self._required_domain(guest).destroy)

    def write_filter_files(self, files: Iterable[tuple[str, str]]) -> None:
        write_filter_files(self._root, files)

    def restart_daemon(self) -> None:
        """The connection and the process are others afterwards."""
        seconds = max(ANSWER_SECONDS, self._deadline())
        self._starter = self._starter or starter(self._address)
        self._starter.restart(self._session.pid, seconds)
        ended = self._session
        self._session = open_again(self._address, seconds)
        ended.close()

    def devices(self) -> frozenset[str]:
        return network_devices(self._daemon)

    def answering(self, probes: Iterable[Probe], most_seconds: float) -> frozenset[Probe]:
        from reconciler.host.probes import agent_answers, answering

        def ask_agent(guest: str) -> bool:
            handle = self._find(f"look up the guest {guest}", lambda: self._connection.lookupByName(guest))
            return handle is not None and self._ask(f"ask the agent of {guest}", lambda: agent_answers(handle))

        return answering(probes, most_seconds, namespaces_of(self._session.pid, self._address), ask_agent)

    def set_live_filterref(self, guest: str, mac: str, filterref: FilterRef | None, bridge: str | None = None) -> None:
        handle = self._required_domain(guest)
        live = well_formed(self._ask(f"read {guest}", lambda: handle.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE)))
        nics = [nic for nic in parse_nics(live) if nic.mac == mac]
        if len(nics) != 1:
            raise HostError(f"the guest {guest} has {len(nics)} interfaces with the MAC {mac}; nothing was changed")
        wanted = set_filterref(live, mac, filterref)
        device = interface_xml(set_bridge(wanted, mac, bridge) if bridge else wanted, mac)
        if nics[0].port is not None:
            self._kernel.sweep(nics[0].port)
        self._write(
            f"change the filter of {guest}'s interface {mac}",
            lambda: handle.updateDeviceFlags(device, libvirt.VIR_DOMAIN_AFFECT_LIVE),
        )

    def rebuild_binding(self, port: str, owner: str, filterref: FilterRef) -> None:
        domain = self.find_domain(owner)
        nic = next((nic for nic in domain.live if nic.port == port), None) if domain else None
        if domain is None or nic is None:
            raise HostError(f"the guest {owner} has no port {port} any more; its rules were not touched")
        handle = self._find(f"look up {port}", lambda: self._connection.nwfilterBindingLookupByPortDev(port))
        if handle is not None:
            self._write(f"delete the binding of {port}", handle.delete)
        self._kernel.sweep(port)
        xml = binding_xml(Binding(port, domain.name, nic.mac, filterref), domain.uuid)
        self._write(f"create the binding of {port}", lambda: self._connection.nwfilterBindingCreateXML(xml, 0))

    def define_managed_save(self, guest: str, xml: str) -> None:
        handle = self._required_domain(guest)
        self._write(f"rewrite the managed-save image of {guest}", lambda: handle.managedSaveDefineXML(xml, 0))

    def remove_rules(self, rules: Iterable[ForeignRule]) -> None:
        self._kernel.remove_rules(rules)

    def raise_links(self, families: Iterable[Family]) -> None:
        self._kernel.raise_links(families)

    def sweep_port(self, port: str) -> None:
        self._kernel.sweep_port(port)

    def supplement(self) -> Supplement | None:
        return self._kernel.own_table()[1]

    def set_supplement(self, wanted: Supplement | None, *, keep_rules: bool = False) -> None:
        self._kernel.set_supplement(wanted, keep_rules=keep_rules)

    def close_gate(self, port: str) -> None:
        self._kernel.close_gate(port)

    def open_gate(self, port: str) -> None:
        self._kernel.open_gate(port)

    def _domains(self, listed: Job[tuple[tuple[Any, GuestState], ...]], answers: Answers) -> tuple[Domain, ...]:
        guests = self._end(listed, ANSWER_SECONDS)
        known, self._domains_known = self._domains_known, {}
        for texts in self._end_all(self._begin_all(guests, "guests", read_guests)):
            digest = answers.note_guest(texts)
            self._domains_known[digest] = known.get(digest) or domain_of(texts)
        return tuple(sorted(self._domains_known.values(), key=lambda domain: domain.name))

    def _begin_all(
        self, objects: Sequence[T], what: str, read: Callable[[Sequence[T]], tuple[U, ...]]
    ) -> list[Job[tuple[U, ...]]]:
        return begin_all(self._session.workers, objects, what, read)

    def _end_all(self, jobs: Iterable[Job[tuple[U, ...]]]) -> Iterator[U]:
        """What one job gave can be looked at while the next one is waited for."""
        return (found for job in jobs for found in self._end(job, BATCH_SECONDS))

    def _required_domain(self, guest: str) -> Any:
        handle = self._find(f"look up the guest {guest}", lambda: self._connection.lookupByName(guest))
        if handle is None:
            raise HostError(f"the guest {guest} is not defined on this host any more")
        return handle

    def _list_bindings(self, answers: Answers) -> tuple[Binding, ...]:
        answers.bindings = self._ask("read the bindings", lambda: read_bindings(self._connection))
        return tuple(sorted(map(parse_binding, map(well_formed, answers.bindings)), key=lambda binding: binding.port))

    def _closure(
        self, answers: Answers, begun: list[Job[tuple[FilterText, ...]]], more: Iterable[str]
    ) -> tuple[LiveFilter, ...]:
        """The filters whose reading was begun, those of `more`, and whatever they refer to."""
        held = self._understood(answers, begun)
        waiting = [*more, *_references(held)]
        while names := tuple(dict.fromkeys(name for name in waiting if name not in answers.filters)):
            added = self._understood(answers, self._begin_all(names, "filters", self._filter_texts))
            held += added
            waiting = _references(added)
        return tuple(sorted(held, key=lambda each: each.definition.name))

    def _understood(self, answers: Answers, begun: list[Job[tuple[FilterText, ...]]]) -> list[LiveFilter]:
        held: list[LiveFilter] = []
        for text in self._end_all(begun):
            digest = answers.note_filter(text)
            if each := self._filters_known.get(digest) or filter_of(text):
                self._filters_known[digest] = each
                held.append(each)
        return held

    def _filter_texts(self, names: Sequence[str]) -> tuple[FilterText, ...]:
        return read_filters(self._connection, filter_folder(self._root), names)

    def _find(self, what: str, lookup: Callable[[], Any]) -> Any | None:
        return self._found(lambda: self._ask(what, lookup))

    def _found(self, read: Callable[[], T]) -> T | None:
        """What `read` gives, or None when the object does not exist or went away meanwhile."""
        try:
            return read()
        except _Absent:
            return None

    def _ask(self, what: str, function: Callable[[], T]) -> T:
        return self._call(what, function, ANSWER_SECONDS)

    def _write(self, what: str, function: Callable[[], T]) -> T:
        return self._call(what, function, max(ANSWER_SECONDS, self._deadline()))

    def _deadline(self) -> float:
        """What a rebuild of all bindings may take."""
        return self._bindings * self._rebuild_seconds * _DEADLINE_FACTOR

    def _call(self, what: str, function: Callable[[], T], seconds: float) -> T:
        return self._end(self._session.worker.begin(what, function), seconds)

    def _end(self, job: Job[T], seconds: float) -> T:
        try:
            return self._session.worker.end(job, seconds)
        except libvirt.libvirtError as error:
            raise _translated(job.what, error) from error


def _ethernet_rules(kernel: Kernel) -> tuple[frozenset[str], KernelRules]:
    """By programs, which are waited for while libvirt is asked for the rest."""
    closed, supplement = kernel.own_table()
    return closed, replace(kernel.ethernet_rules(), supplement=supplement)


def _references(held: Iterable[LiveFilter]) -> list[str]:
    return [name for each in held for name in each.definition.references]


class _Absent(HostError):
    """libvirt knows no such object."""


def _translated(what: str, error: Any) -> ReconcilerError:
    message = error.get_error_message() or str(error)
    code = error.get_error_code()
    if code in ABSENT:
        return _Absent(f"libvirt could not {what}: {message}")
    lost = code == libvirt.VIR_ERR_SYSTEM_ERROR and error.get_error_domain() == libvirt.VIR_FROM_RPC
    if lost or code in _GONE or "socket" in message or "connection" in message.lower():
        return HostUnreachable(
            f"libvirt went away when asked to {what}: {message}",
            hint="start libvirtd, then run the command again",
        )
    return HostError(f"libvirt refused to {what}: {message}")
