"""Which probes a site gives a guest, and which guests of a plan are asked."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from sites import SITE, guest_yaml, host_as_wanted, site

from reconciler.app import Survey
from reconciler.errors import UsageError
from reconciler.model.actions import DefineFilter, ShutDownGuest, StartGuest
from reconciler.model.plan import Plan, Step
from reconciler.model.probe import Probe, ProbeKind
from reconciler.model.site import Desired
from reconciler.plan.build import make_plan
from reconciler.plan.touched import touched_guests
from reconciler.settings import HealthSettings, Settings, settle
from reconciler.stories.confirming import probes_of
from reconciler.verbs.common import Arguments

PINGED = SITE.replace(b"filter: guest", b"filter: guest, health: [{ping: own}]")
GUESTS = {"web01": guest_yaml("web01", 1, "[10.0.0.11]"), "db01": guest_yaml("db01", 2, "[10.0.0.12]")}


def probes(more: str, text: bytes = SITE) -> tuple[Probe, ...]:
    (guest,) = site(
        {"web01": guest_yaml("web01", 1, "[10.0.0.11, 10.0.0.16/29]", '["2001:db8::11"]', more=more)}, text
    ).guests
    return guest.health


def test_own_stands_for_each_single_address_that_can_be_reached_from_elsewhere() -> None:
    found = probes("health: [{tcp: 'own:22', within: 5}]")
    assert found == tuple(
        Probe("web01", ProbeKind.TCP, ip_address(each), 22, within=5) for each in ("10.0.0.11", "2001:db8::11")
    )


def test_addresses_ports_and_the_agent_are_taken_as_they_are_written() -> None:
    found = probes('health: [{ping: 10.0.0.18}, {tcp: "[2001:db8::11]:443"}, {agent: true}]')
    assert found == (
        Probe("web01", ProbeKind.PING, ip_address("10.0.0.18")),
        Probe("web01", ProbeKind.TCP, ip_address("2001:db8::11"), 443),
        Probe("web01", ProbeKind.AGENT),
    )


def test_the_sites_probes_are_for_guests_that_say_nothing() -> None:
    assert [probe.kind for probe in probes("hold: false", PINGED)] == [ProbeKind.PING, ProbeKind.PING]
    assert [probe.kind for probe in probes("health: [{agent: true}]", PINGED)] == [ProbeKind.AGENT]
    assert probes("health: []", PINGED) == ()


def touched(before: Desired, after: Desired) -> frozenset[str]:
    live = host_as_wanted(before).inspect()
    return touched_guests(make_plan(after, live, "kvm01"), live)


def test_a_guards_change_touches_its_guest_alone() -> None:
    assert touched(site(GUESTS), site(GUESTS | {"web01": guest_yaml("web01", 1, "[10.0.0.21]")})) >= {"web01"}


def test_a_shared_filters_change_touches_all_its_users() -> None:
    live = host_as_wanted(site(GUESTS)).inspect()
    held = live.filter("guest-arp")
    assert held is not None
    plan = Plan("", "kvm01", (Step("", DefineFilter("guest-arp", held.xml, held.xml), ""),))
    assert touched_guests(plan, live) == {"web01", "db01"}


def test_a_guest_that_stays_down_is_not_asked() -> None:
    live = host_as_wanted(site(GUESTS)).inspect()
    stop = Step("stop", ShutDownGuest("web01", 5), "")
    assert touched_guests(Plan("", "kvm01", (stop,)), live) == frozenset()
    assert touched_guests(Plan("", "kvm01", (stop, Step("start", StartGuest("web01"), ""))), live) == {"web01"}


def test_a_program_that_cannot_be_run_stops_everything_before_the_first_step(tmp_path: Path) -> None:
    desired = site(GUESTS)
    seen = Survey(desired, host_as_wanted(desired).inspect(), "kvm01", ())
    given = Settings(var=tmp_path, health=HealthSettings(tmp_path / "missing"))
    with pytest.raises(UsageError, match="missing is not there or not executable; nothing was done"):
        probes_of(given, Plan("", "kvm01"), seen)


def settings(tmp_path: Path, text: str) -> HealthSettings:
    config = tmp_path / "config.yaml"
    config.write_text(text)
    words = {"config": config, "site": tmp_path, "repo": None, "var": None, "connect": None, "branch": None}
    return settle(Arguments(**words, host=None), {}).health


def test_the_hosts_own_configuration_names_a_program_by_its_full_path(tmp_path: Path) -> None:
    found = settings(tmp_path, "health_command: /usr/local/bin/is-well\nhealth_within: 60\n")
    assert (str(found.command), found.within) == ("/usr/local/bin/is-well", 60)
    with pytest.raises(UsageError, match="health_command is not a full path"):
        settings(tmp_path, "health_command: is-well\n")
