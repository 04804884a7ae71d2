"""The one story: fetch → load → inspect → diff → plan → apply → verify."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from reconciler.errors import HostError, ReconcilerError, StaleError, UsageError
from reconciler.model.change import Proposal
from reconciler.model.drift import Drift
from reconciler.model.guest import Guest, Interface
from reconciler.model.live import Live
from reconciler.model.outcome import Case, InterfaceProof
from reconciler.model.plan import Plan, Step
from reconciler.model.site import Desired, Disruption
from reconciler.settings import Settings

if TYPE_CHECKING:
    from reconciler.host.protocol import Host
    from reconciler.lab.handle import Lab
    from reconciler.model.outcome import Execution
    from reconciler.nwfilter.variables import Lookup

Notify = Callable[[str, Step], None]
Address = IPv4Address | IPv6Address

NEIGHBOURS = 4


@dataclass(frozen=True, slots=True)
class Survey:
    """One look at a host beside its site."""

    desired: Desired
    live: Live
    host: str
    drift: tuple[Drift, ...]


@dataclass(frozen=True, slots=True)
class Application:
    """What an apply did: its plan, how the steps ended (None when there were none), and what is left."""

    plan: Plan
    execution: Execution | None
    drift: tuple[Drift, ...]
    proofs: tuple[InterfaceProof, ...]


def read_site(settings: Settings) -> tuple[dict[str, bytes], str]:
    """The site's files and where they are from: a commit, or a folder."""
    if settings.repository is not None:
        from reconciler.source.repository import read_repository

        snapshot = read_repository(settings.repository, settings.branch, settings.var / "mirror")
        return snapshot.files, snapshot.commit
    from reconciler.source.folder import read_folder

    if settings.site is None:
        raise UsageError("there is no site: neither --site, --repo nor a folder ./state", hint="name one of them")
    return read_folder(settings.site), str(settings.site)


def load_site(settings: Settings) -> Desired:
    from reconciler.load import load

    files, source = read_site(settings)
    return load(files, source)


def proposal(settings: Settings, desired: Desired, base: str) -> Proposal:
    """What the site changes since another commit of its repository; no host is asked.

    Raises `UsageError` for a site that is in no folder, or without scapy; `SourceError` for a base that is no commit;
    `SiteError` when the base has problems of its own.
    """
    from reconciler.diff import changes
    from reconciler.load import load
    from reconciler.nwfilter.verdicts import verdict_changes
    from reconciler.source.base import messages_since, read_base

    if settings.site is None:
        raise UsageError("--base compares a folder with a commit of its repository", hint="name the folder with --site")
    snapshot = read_base(settings.site, base)
    before = load(snapshot.files, snapshot.commit)
    reasons = (line.partition(":") for line in messages_since(settings.site, snapshot.commit).splitlines())
    said = next((text.strip() for word, _, text in reasons if word.casefold() == "allow-widening"), "")
    return Proposal(changes(before, desired), verdict_changes(before, desired), said)


def host_name(settings: Settings, desired: Desired) -> str:
    """The name under which the site knows this host: given, or the machine's own, short or in full."""
    candidates = (
        [settings.host]
        if settings.host
        else [socket.gethostname(), socket.gethostname().split(".")[0], socket.getfqdn()]
    )
    known = next((name for name in candidates if name in desired.hosts), None)
    if known is not None or not desired.hosts:
        return known or candidates[0]
    raise UsageError(
        f"the site has no host {candidates[0]!r}; nothing was done",
        hint=f"it has {', '.join(desired.hosts)}: name one with --host",
    )


def open_host(settings: Settings) -> Host:
    from reconciler.host.libvirt_host import open_host as connect

    return connect(settings.uri)


def survey(desired: Desired, host: Host, name: str) -> Survey:
    from reconciler.diff import diff
    from reconciler.nwfilter.wanted import wanted_filters

    live = host.inspect(definition.name for definition in wanted_filters(desired, name))
    return Survey(desired, live, name, diff(desired, live, name))


def plan_of(seen: Survey, allow: Disruption | None = None) -> Plan:
    from reconciler.plan.build import make_plan

    return make_plan(seen.desired, seen.live, seen.host, allow)


def proofs_of(seen: Survey, *, whole_battery: bool = False) -> tuple[InterfaceProof, ...]:
    """What the kernel's rules prove for every interface of the site's guests on this host.

    The core cases need nothing; the whole battery needs scapy, and raises `UsageError` where it is not installed.
    """
    from reconciler.nwfilter.prove import prove, prove_all
    from reconciler.nwfilter.wanted import visible_families

    known = {f.definition.name: f.definition for f in seen.live.filters}
    rules = seen.live.kernel
    found: list[InterfaceProof] = []
    for guest, interface, neighbours in _with_neighbours(seen.desired, seen.host):
        domain = seen.live.domain(guest.name)
        port = next((nic.port for nic in domain.live if nic.mac == interface.mac), None) if domain else None
        visible = visible_families(known.get, interface.filter)
        cases: tuple[Case, ...] = ()
        if port and whole_battery:
            cases = prove_all(rules, port, interface, neighbours, visible)
        elif port:
            cases = prove(rules.ethernet, port, interface, visible)
        found.append(InterfaceProof(guest.name, interface.mac, port, cases))
    return (*found, *_unmentioned(seen))


def _unmentioned(seen: Survey) -> Iterator[InterfaceProof]:
    """Interfaces of managed guests that the site says nothing about."""
    for guest in seen.desired.guests_on(seen.host):
        domain = seen.live.domain(guest.name)
        mentioned = {interface.mac for interface in guest.interfaces}
        for nic in domain.live if domain else ():
            if nic.mac not in mentioned:
                yield InterfaceProof(guest.name, nic.mac, nic.port, managed=False)


def _with_neighbours(desired: Desired, host: str) -> Iterator[tuple[Guest, Interface, tuple[Address, ...]]]:
    """Every interface with the addresses of the next ones: what a guest forges first is its neighbour's."""
    pairs = [(guest, interface) for guest in desired.guests_on(host) for interface in guest.interfaces]
    for position, (guest, interface) in enumerate(pairs):
        others = [*pairs[position + 1 :], *pairs[:position]][:NEIGHBOURS]
        yield guest, interface, tuple(address for _, other in others for address in _first_addresses(other))


def _first_addresses(interface: Interface) -> Iterator[Address]:
    yield from (network[0] for network in interface.ipv4)
    yield from (network[0] for network in interface.ipv6)


def try_frames_of(desired: Desired, host: str) -> tuple[InterfaceProof, ...]:
    """Send every interface's battery as real frames through its filters in a throw-away lab: needs root and scapy.

    The host itself is not touched. A case whose frame did what was not foretold says so in its rule.
    """
    from reconciler.lab.labs import lab
    from reconciler.lab.trial import define_filters
    from reconciler.nwfilter.wanted import wanted_filters

    pairs = tuple(_with_neighbours(desired, host))
    found: list[InterfaceProof] = []
    with lab() as private:
        define_filters(private, wanted_filters(desired, host))
        known = {definition.name: definition for definition in desired.filters}
        for guest, interface, neighbours in pairs:
            cases = _try_interface(private, known.get, interface, neighbours)
            found.append(InterfaceProof(guest.name, interface.mac, "lab", cases))
    return tuple(found)


def _try_interface(
    private: Lab, lookup: Lookup, interface: Interface, neighbours: tuple[Address, ...]
) -> tuple[Case, ...]:
    from reconciler.lab.trial import Subject, try_frames
    from reconciler.nwfilter.battery import Direction, battery
    from reconciler.nwfilter.guard import unguarded_filterref
    from reconciler.nwfilter.prove import foretold_cases
    from reconciler.nwfilter.wanted import has_packet_rules

    cases = battery(interface, neighbours)
    sent = [case for case in cases if case.direction is Direction.OUT]
    received = [case for case in cases if case.direction is Direction.IN]
    subject = Subject(
        interface.mac,
        unguarded_filterref(interface),
        tuple(case.data for case in sent),
        tuple(case.data for case in received),
        host_hears=not has_packet_rules(lookup, interface.filter),
    )
    [heard] = try_frames(private, [subject])
    passed = dict(zip([case.id for case in (*sent, *received)], (*heard.sent, *heard.received), strict=True))
    return tuple(foretold_cases(lookup, interface, cases, passed))


def apply(
    settings: Settings, notify: Notify, allow: Disruption | None = None, expected_digest: str | None = None
) -> Application:
    """Bring the host to its site, and prove it.

    With `expected_digest` only the plan that has it is applied: another commit, or another live state, is
    `StaleError`. Nothing is written when there is nothing to do.
    """
    from reconciler.execute.lock import exclusive

    with exclusive(settings.var):
        desired = load_site(settings)
        host = open_host(settings)
        seen = survey(desired, host, host_name(settings, desired))
        plan = plan_of(seen, allow)
        if expected_digest is not None and plan.digest != expected_digest:
            raise StaleError(
                "the site or the host is not what the plan was made for; nothing was done",
                hint="make a new plan and look at it",
            )
        execution = _execute(plan, host, settings, desired, notify, allow) if plan.steps else None
        if execution is not None:
            seen = survey(desired, host, seen.host)
        if execution is None or execution.ok:
            _close_interrupted_runs(settings)
        return Application(plan, execution, seen.drift, proofs_of(seen))


def _execute(
    plan: Plan, host: Host, settings: Settings, desired: Desired, notify: Notify, allow: Disruption | None
) -> Execution:
    from reconciler.execute.executor import execute
    from reconciler.execute.journal import Journal

    def prove() -> ReconcilerError | None:
        again = plan_of(survey(desired, host, plan.host), allow)
        if not again.steps:
            return None
        return HostError(
            f"after all steps there is still something to do: {again.steps[0].action.describe()}, "
            f"because {again.steps[0].reason}",
            hint="all steps were taken back; the journal holds what was done",
        )

    with Journal(settings.var / "journal", plan) as journal:
        return execute(plan, host, journal, notify, prove)


def interrupted_runs(settings: Settings) -> tuple[str, ...]:
    """Runs that were cut off; the next apply that converges closes them."""
    from reconciler.execute.journal import open_runs

    return open_runs(settings.var / "journal")


def _close_interrupted_runs(settings: Settings) -> None:
    from reconciler.execute.journal import close_run

    for run in interrupted_runs(settings):
        close_run(settings.var / "journal", run, "converged by a later run")
