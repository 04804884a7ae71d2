"""Guests are said to be safe to migrate only when all that their rules hang on is as the site says, and stays so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from sites import SITE, guest_yaml, host_as_wanted, site

from reconciler.diff import diff
from reconciler.execute.journal import Journal, close_run
from reconciler.execute.runs import targets_in_progress
from reconciler.host.memory import MemoryHost
from reconciler.model.coverage import Flag, InterfaceStatus
from reconciler.model.plan import WaitReason
from reconciler.model.site import Desired
from reconciler.plan.build import make_plan
from reconciler.plan.migration import unsafe_migrations
from reconciler.report.document import statuses
from reconciler.report.guests import show_status

GUESTS = {"web01": guest_yaml("web01", 1, "[10.0.0.11]"), "db01": guest_yaml("db01", 2, "[10.0.0.12]")}
MOVED = GUESTS | {"web01": guest_yaml("web01", 1, "[10.0.0.21]")}
GUARD = "filter/guard-web01-000001"


def unsafe(desired: Desired, host: MemoryHost, in_progress: frozenset[str] = frozenset()) -> dict[str, str]:
    live = host.inspect()
    return dict(unsafe_migrations(desired, live, "kvm01", diff(desired, live, "kvm01"), in_progress))


def test_a_guest_is_safe_where_all_is_as_the_site_says() -> None:
    desired = site(GUESTS)
    assert unsafe(desired, host_as_wanted(desired)) == {}


def test_a_guest_whose_guard_differs_must_not_be_migrated() -> None:
    host = host_as_wanted(site(GUESTS))
    assert unsafe(site(MOVED), host) == {"web01": f"{GUARD} is not as the site says"}


def test_a_guest_that_has_not_come_yet_must_not_come_to_a_missing_guard() -> None:
    host = host_as_wanted(site({"db01": GUESTS["db01"]}))
    assert set(unsafe(site(GUESTS), host)) == {"web01"}


def test_a_shared_filter_that_differs_keeps_all_its_users() -> None:
    host = host_as_wanted(site(GUESTS))
    desired = site(GUESTS)
    changed = tuple(
        replace(each, entries=each.entries[:-1]) if each.name == "guest-arp" else each for each in desired.filters
    )
    assert set(unsafe(replace(desired, filters=changed), host)) == {"web01", "db01"}


def test_a_tolerated_difference_of_a_guard_is_still_one_between_hosts() -> None:
    tolerated = SITE + b"ignore: [{object: 'filter/guard-web01-*', field: '*', reason: tried by hand}]\n"
    host = host_as_wanted(site(GUESTS))
    assert set(unsafe(site(MOVED, tolerated), host)) == {"web01"}


def test_what_a_run_has_begun_counts_until_it_has_ended(tmp_path: Path) -> None:
    host = host_as_wanted(site(GUESTS))
    moved = site(MOVED)
    plan = make_plan(moved, host.inspect(), "kvm01")
    with Journal(tmp_path, plan) as journal:
        journal.intend(plan.steps[0])
        at_work = targets_in_progress(tmp_path)
        assert at_work == {GUARD}
        host_after = host_as_wanted(moved)
        told = {"web01": f"{GUARD} is being changed by a run that has not ended"}
        assert unsafe(moved, host_after, at_work) == told
    close_run(tmp_path, journal.run, "applied")
    assert targets_in_progress(tmp_path) == frozenset()


def test_status_says_it_in_text_and_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = InterfaceStatus("web01", "52:54:00:00:00:01", "guest-ipv4", unsafe_migration=f"{GUARD} differs")
    show_status(Console(soft_wrap=True), [found])
    shown = capsys.readouterr().out
    assert "do-not-migrate" in shown.splitlines()[1]
    assert f"do not migrate web01: {GUARD} differs" in shown
    [told] = statuses([found])
    assert (told["flags"], told["unsafe_migration"]) == ([str(Flag.DO_NOT_MIGRATE)], f"{GUARD} differs")


def busy(host: MemoryHost, guest: str, *, has_its_port: bool = True) -> MemoryHost:
    """The guest is being migrated; one that comes in has no binding at first."""
    domain = host.domains[guest]
    host.domains[guest] = replace(domain, busy=True)
    if not has_its_port:
        for nic in domain.live:
            host.bindings.pop(str(nic.port))
    return host


@pytest.mark.parametrize("has_its_port", [True, False])
def test_while_a_guest_is_migrated_nothing_that_its_rules_hang_on_is_changed(has_its_port: bool) -> None:
    host = busy(host_as_wanted(site(GUESTS)), "web01", has_its_port=has_its_port)
    wanted = site(MOVED | {"db01": guest_yaml("db01", 2, "[10.0.0.22]")})
    plan = make_plan(wanted, host.inspect(), "kvm01")
    waiting = {each.target for each in plan.waiting if each.why is WaitReason.BUSY}
    assert GUARD in waiting
    targets = {step.action.target for step in plan.steps}
    assert "filter/guard-db01-000002" in targets
    assert not targets & waiting


def test_no_daemon_is_restarted_under_a_migration() -> None:
    restarting = SITE + b"policy: {strategy: restart, disruption: daemon-restart}\n"
    host = busy(host_as_wanted(site(GUESTS)), "web01")
    desired = site(GUESTS, restarting)
    changed = tuple(
        replace(each, entries=each.entries[:-1]) if each.name == "guest-arp" else each for each in desired.filters
    )
    plan = make_plan(replace(desired, filters=changed), host.inspect(), "kvm01")
    assert "restart-daemon" not in {step.action.kind for step in plan.steps}
    assert ("host", WaitReason.BUSY) in {(each.target, each.why) for each in plan.waiting}
