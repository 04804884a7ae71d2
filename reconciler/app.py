"""The one story: fetch → load → inspect → diff → plan → apply → verify."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reconciler.ahead import import_ahead
from reconciler.errors import StaleError, UsageError
from reconciler.settings import Settings
from reconciler.stories.reading import read_site

if TYPE_CHECKING:
    from reconciler.execute.runs import Run
    from reconciler.host.protocol import Host
    from reconciler.load.mending import Mending
    from reconciler.model.change import Proposal
    from reconciler.model.coverage import FilterCoverage, InterfaceStatus, Unmanaged
    from reconciler.model.disruption import Disruption
    from reconciler.model.drift import Drift
    from reconciler.model.faultless import Memory
    from reconciler.model.live import Live
    from reconciler.model.outcome import Case, Execution, InterfaceProof
    from reconciler.model.plan import Plan, Step
    from reconciler.model.site import Desired
    from reconciler.model.trace import Trace
    from reconciler.nwfilter.explain import Described, Wish
    from reconciler.plan.holding import Holds
    from reconciler.source.snapshot import Snapshot

    Notify = Callable[[str, Step], None]
    Held = tuple[tuple[str, tuple[str, ...]], ...]
    """Of each guest the addresses that it holds."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a host remembers of earlier runs: how long things take, and which guests an open run has shut down."""

    timings: Mapping[str, float] = field(default_factory=dict)
    owed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Survey:
    """One look at a host beside its site."""

    desired: Desired
    live: Live
    host: str
    drift: tuple[Drift, ...]
    known: Known = Known()
    holds: Holds = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Application:
    """What an apply did: what it found, its plan, how the steps ended (None when there were none), and what is left.

    `held` is what this host's guests hold, for other hosts to wait for.
    """

    plan: Plan
    execution: Execution | None
    drift: tuple[Drift, ...]
    proofs: tuple[InterfaceProof, ...]
    found: tuple[Drift, ...] = ()
    held: Held = ()


def mend(settings: Settings, files: Mapping[str, bytes], *, write: bool) -> Mending:
    """What `check --fix` mends of a site in a folder; written there on request.

    Raises `UsageError` for a site that is read from a repository: a commit is mended by another commit.
    """
    from reconciler.load.mending import mend_site
    from reconciler.source.writing import write_files

    if settings.site is None or settings.repository is not None:
        raise UsageError(
            "--fix mends the files of a folder, and a commit is none; nothing was done", hint="name --site"
        )
    mending = mend_site(files)
    if write:
        write_files(settings.site, mending.files)
    return mending


def load_site(settings: Settings, found: Snapshot | None = None) -> Desired:
    """The valid site; what this program has found valid before, byte for byte, is not examined again."""
    from reconciler.records.keys import site_key
    from reconciler.records.loaded import read_loaded, write_loaded

    found = found or read_site(settings)
    key = site_key(found.files, found.commit, found.odd)
    known = read_loaded(settings.var, key)
    if known is not None:
        return known
    from reconciler.load import load

    import_ahead("deepdiff")  # a site that was not seen before differs, and the host is waited for first
    desired = load(found.files, found.commit, found.odd, memory_of(settings))
    write_loaded(settings.var, key, desired)
    return desired


def memory_of(settings: Settings, *, writes: bool = True) -> Memory:
    """The guests that were found without a fault when the site of these settings was examined before."""
    from reconciler.records.guests import KeptGuests

    place = settings.repository or str(settings.site and settings.site.resolve())
    return KeptGuests(settings.var, place, writes=writes)


def proposal(settings: Settings, desired: Desired, base: str) -> Proposal:
    """What the site changes since another commit of its repository; no host is asked.

    Raises `UsageError` for a site that is in no folder, or without scapy; `SourceError` for a base that is no commit.
    """
    from reconciler.diff import changes
    from reconciler.load import examine
    from reconciler.model.change import Proposal
    from reconciler.nwfilter.verdicts import verdict_changes
    from reconciler.source.base import messages_since, read_base

    if settings.site is None:
        raise UsageError("--base compares a folder with a commit of its repository", hint="name the folder with --site")
    snapshot = read_base(settings.site, base)
    before, problems = examine(snapshot.files, snapshot.commit, snapshot.odd, memory_of(settings, writes=False))
    reasons = (line.partition(":") for line in messages_since(settings.site, snapshot.commit).splitlines())
    said = next((text.strip() for word, _, text in reasons if word.casefold() == "allow-widening"), "")
    if before is None:
        return Proposal(widening_reason=said, base_problems=len(problems))
    return Proposal(changes(before, desired), verdict_changes(before, desired), said)


def filter_coverage(settings: Settings, desired: Desired) -> tuple[FilterCoverage, ...]:
    """What the site's filters do wrong on the test frames of its interfaces, without a host. Needs scapy."""
    from reconciler.nwfilter.leaks import judged, subjects
    from reconciler.records.coverage import KeptCoverage

    chosen, kept = subjects(desired), KeptCoverage(settings.var, desired)
    known = kept.read(chosen)
    missing = [subject for subject in chosen if subject not in known]
    if missing:
        known |= judged(desired, missing)
        kept.write(known)
    return tuple(known[subject] for subject in chosen)


def host_name(settings: Settings, desired: Desired) -> str:
    """The name under which the site knows this host: given, or the machine's own, short or in full."""
    first = settings.host or socket.gethostname()
    if not desired.hosts:
        return first
    known = next((name for name in ([first] if settings.host else _own_names()) if name in desired.hosts), None)
    if known is not None:
        return known
    raise UsageError(
        f"the site has no host {first!r}; nothing was done",
        hint=f"it has {', '.join(desired.hosts)}: name one with --host",
    )


def _own_names() -> Iterator[str]:
    """The machine's, as a site writes names; the last one may wait for a name server."""
    own = socket.gethostname().lower()
    yield own
    yield own.partition(".")[0]
    yield socket.getfqdn().lower()


def open_host(settings: Settings) -> Host:
    from reconciler.host.libvirt_host import open_host as connect

    return connect(settings.uri, remembered(settings).timings.get("rebuild", _REBUILD_SECONDS))


_REBUILD_SECONDS = 2.0


def remembered(settings: Settings) -> Known:
    from reconciler.execute.runs import owed_starts
    from reconciler.records.timings import read_timings

    return Known(read_timings(settings.var), owed_starts(settings.var / "journal"))


def survey(desired: Desired, host: Host, name: str, known: Known | None = None) -> Survey:
    from reconciler.diff import diff
    from reconciler.nwfilter.wanted import wanted_filters

    live = host.inspect(definition.name for definition in wanted_filters(desired, name))
    return Survey(desired, live, name, diff(desired, live, name), known or Known())


def unmanaged_of(seen: Survey) -> Unmanaged:
    """What the host has and the site does not name: told apart from drift."""
    from reconciler.nwfilter.subjects import unmanaged

    return unmanaged(seen.desired, seen.live, seen.host)


def plan_of(seen: Survey, allow: Disruption | None = None) -> Plan:
    from reconciler.plan.build import make_plan
    from reconciler.plan.rates import rates_of

    rates, owed, now = rates_of(seen.known.timings), seen.known.owed, datetime.now(UTC)
    return make_plan(seen.desired, seen.live, seen.host, allow, rates, now=now, holds=seen.holds, owed=owed)


def proofs_of(seen: Survey, *, whole_battery: bool = False) -> tuple[InterfaceProof, ...]:
    """What the kernel's rules prove for every interface of the site's guests on this host.

    The core cases need nothing; the whole battery needs scapy, and raises `UsageError` where it is not installed.
    """
    from reconciler.model.outcome import Case, InterfaceProof
    from reconciler.nwfilter.floods import flood_cases
    from reconciler.nwfilter.prove import prove, prove_all
    from reconciler.nwfilter.subjects import running_nic, unmentioned, with_neighbours
    from reconciler.nwfilter.wanted import visible_families

    known = {f.definition.name: f.definition for f in seen.live.filters}
    rules = seen.live.kernel
    found: list[InterfaceProof] = []
    guests = seen.desired.guests_on(seen.host)
    for guest, interface, neighbours in with_neighbours(guests):
        nic = running_nic(guest.name, interface.mac, seen.live)
        port = nic.port if nic else None
        visible = visible_families(known.get, interface.filter)
        cases: tuple[Case, ...] = ()
        if nic and seen.live.has_lost(nic):
            cases = (Case(interface.mac, "port-on-host", "present", "absent"),)
        elif port and whole_battery:
            cases = prove_all(rules, port, interface, neighbours, visible)
        elif port:
            cases = prove(rules.ethernet, port, interface, visible, rules.supplement)
        if port:
            cases += flood_cases(rules.supplement, interface.mac, seen.desired.policy.flood_limit)
        found.append(InterfaceProof(guest.name, interface.mac, port, cases))
    foreign = ((guest.name, nic) for guest in guests for nic in unmentioned(guest, seen.live))
    return (*found, *(InterfaceProof(name, nic.mac, nic.port, managed=False) for name, nic in foreign))


def explain(
    proofs: tuple[InterfaceProof, ...], desired: Desired, host: str, wish: Wish, live: Live | None
) -> tuple[InterfaceProof, ...]:
    """Proofs whose wanted cases have their path: through the kernel's rules, or without `live` as it is foretold."""
    from reconciler.nwfilter.explain import as_foretold, explain, on_kernel

    rules = on_kernel(desired, live) if live else as_foretold(desired)
    return explain(proofs, desired.guests_on(host), wish, rules)


def trace(desired: Desired, asked: Described, seen: Survey | None) -> Trace:
    """What becomes of one described frame: on a host's own rules, or on those that the site's filters will make."""
    from reconciler.nwfilter.explain import trace_on_host, trace_on_site

    return trace_on_host(desired, seen.live, seen.host, asked) if seen else trace_on_site(desired, asked)


def status_of(settings: Settings, seen: Survey, *, whole_battery: bool) -> tuple[InterfaceStatus, ...]:
    from reconciler.execute.runs import targets_in_progress
    from reconciler.nwfilter.status import status_of_host
    from reconciler.plan.migration import unsafe_migrations

    in_progress = targets_in_progress(settings.var / "journal")
    unsafe = unsafe_migrations(seen.desired, seen.live, seen.host, seen.drift, in_progress)
    found = status_of_host(seen.desired, seen.live, seen.host, whole_battery=whole_battery)
    return tuple(replace(each, unsafe_migration=unsafe.get(each.guest, "")) for each in found)


def desired_status(settings: Settings, desired: Desired, *, whole_battery: bool) -> tuple[InterfaceStatus, ...]:
    """Of every guest of the site, or of those on the host that is named; no host is asked."""
    from reconciler.nwfilter.status import status_of_site

    guests = desired.guests_on(host_name(settings, desired)) if settings.host else desired.guests
    return status_of_site(desired, guests, whole_battery=whole_battery)


def apply(
    settings: Settings, notify: Notify, allow: Disruption | None = None, expected_digest: str | None = None
) -> Application:
    """Bring the host to its site, and prove it.

    With `expected_digest` only the plan that has it is applied: another commit, or another live state, is
    `StaleError`. Nothing is written when there is nothing to do.
    """
    from reconciler.execute.lock import exclusive
    from reconciler.stories.settled import settled_before

    with exclusive(settings.var):
        site = None if settings.commit else read_site(settings)
        before = settled_before(settings, site) if expected_digest is None else None
        if before is None:
            return _apply_anew(settings, site, notify, allow, expected_digest)
        from reconciler.stories.following import applying

        with applying(settings, before.plan.source) as outcome:
            outcome.take(before.plan, None)
        return before


def _apply_anew(
    settings: Settings, site: Snapshot | None, notify: Notify, allow: Disruption | None, digest: str | None
) -> Application:
    from reconciler.stories import following
    from reconciler.stories.admitting import write_admission
    from reconciler.stories.holding import with_holds
    from reconciler.stories.settled import remember_settled

    desired = load_site(settings, site)
    host = open_host(settings)
    seen = with_holds(settings, survey(desired, host, host_name(settings, desired), remembered(settings)))
    found = seen.drift
    plan = plan_of(seen, allow)
    if digest is not None and plan.digest != digest:
        raise StaleError(
            "the site or the host is not what the plan was made for; nothing was done",
            hint="make a new plan and look at it; one that was made with --allow is applied with the same",
        )
    with following.applying(settings, desired.source) as outcome:
        execution = None
        if plan.steps or interrupted_runs(settings):
            from reconciler.stories.rounds import Wanted, apply_in_rounds

            wanted = Wanted(notify, allow, approved=digest is not None)
            plan, execution, seen = apply_in_rounds(settings, host, seen, plan, wanted)
        outcome.take(plan, execution)
    if execution is None or execution.ok:
        _forget_old_runs(settings)
        write_admission(settings, seen)
    done = Application(plan, execution, seen.drift, proofs_of(seen), found, held_by(seen.live))
    remember_settled(settings, site, seen, done)
    return done


def held_by(live: Live) -> Held:
    from reconciler.plan.claims import holdings

    return tuple((each.guest, tuple(sorted(str(network) for network in each.networks))) for each in holdings(live))


def interrupted_runs(settings: Settings) -> tuple[Run, ...]:
    """Runs that were cut off; the next apply that converges closes them."""
    from reconciler.execute.endings import unended

    if not any(unended(settings.var / "journal")):
        return ()
    from reconciler.execute.runs import open_runs

    return open_runs(settings.var / "journal")


def _forget_old_runs(settings: Settings) -> None:
    from reconciler.execute.runs import prune_runs

    prune_runs(settings.var / "journal", _KEEP_DAYS)


_KEEP_DAYS = 180
