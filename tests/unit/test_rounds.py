"""An apply goes on in rounds: what one makes possible is done in the next, and no round is taken back for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sites import SITE, domain_xml, guest_yaml, host_with, mac, site

from reconciler import app
from reconciler.domain.rewrite import set_filterref
from reconciler.errors import HostUnreachable
from reconciler.execute.journal import Journal
from reconciler.execute.runs import open_runs
from reconciler.host.memory import MemoryHost
from reconciler.model.actions import ShutDownGuest
from reconciler.model.filter import FilterRef
from reconciler.model.outcome import Execution
from reconciler.model.plan import Plan, Step
from reconciler.model.site import Desired
from reconciler.nwfilter.format import format_filter
from reconciler.nwfilter.guard import mark_uuid, temporary_uuid
from reconciler.plan.simulated import renamed
from reconciler.settings import Settings
from reconciler.stories.rounds import Wanted, apply_in_rounds

HOST = "kvm01"
ALL = SITE + b"policy: {disruption: guest-restart}\n"


def apply(host: MemoryHost, desired: Desired, var: Path) -> tuple[Plan, Execution | None]:
    settings = Settings(uri="memory", var=var)
    seen = app.survey(desired, host, HOST, app.remembered(settings))
    plan, execution, _ = apply_in_rounds(settings, host, seen, app.plan_of(seen), Wanted())
    assert execution is None or execution.ok, execution.error
    return plan, execution


def with_more_rules(desired: Desired, *names: str) -> Desired:
    """Some filters say one thing twice: they are others, and let through what they did."""
    changed = (replace(f, entries=(*f.entries, f.entries[-1])) if f.name in names else f for f in desired.filters)
    return replace(desired, filters=tuple(changed))


def test_a_filter_that_nobody_uses_any_more_is_redefined_though_the_restart_that_held_it_waits(tmp_path: Path) -> None:
    text = SITE + b"policy: {disruption: daemon-restart, strategy: restart}\n"
    held = guest_yaml("held", 1, more="hold: true")
    before = site({"held": held, "web01": guest_yaml("web01", 2, "[10.0.0.2]")}, text)
    host = host_with(before)
    free = replace(before, guests=tuple(replace(guest, hold=False) for guest in before.guests))
    apply(host, free, tmp_path)
    after = with_more_rules(site({"held": held, "web01": guest_yaml("web01", 2)}, text), "guest-arp", "guest-mac")
    plan, _ = apply(host, after, tmp_path)
    assert [step.action.target for step in plan.steps] == ["filter/guard-web01-000002", "filter/guest-arp"]
    assert len(plan.waiting) == 1 and "guest-mac" in plan.waiting[0].what
    assert apply(host, after, tmp_path)[1] is None


def test_a_guest_that_was_started_has_rules_of_others_before_its_port_taken_away(tmp_path: Path) -> None:
    guests = {"web01": guest_yaml("web01", 1, "[10.0.0.11]", more="power: running")}
    host = host_with(site(guests, ALL), running=False)
    host.foreign.add(("PREROUTING", "-A PREROUTING -j ACCEPT"))
    plan, _ = apply(host, site(guests, ALL), tmp_path)
    assert [step.action.kind for step in plan.steps][-2:] == ["start-guest", "remove-rules"]
    assert host.foreign == set()


def test_a_run_that_owes_a_start_which_waits_stays_open_until_the_guest_runs(tmp_path: Path) -> None:
    before = site({"web01": guest_yaml("web01", 1, "[10.0.0.11]"), "db01": guest_yaml("db01", 2, "[10.0.0.2]")}, ALL)
    host = host_with(before)
    apply(host, before, tmp_path)
    stop = Step("stop:web01", ShutDownGuest("web01", 120, False), "a change")
    with Journal(tmp_path / "journal", Plan("", HOST, (stop,))) as journal:
        journal.intend(stop)
    host.destroy_domain("web01")
    more = {"db01": guest_yaml("db01", 2, "[10.0.0.3]", more="hold: true")}
    after = site({"web01": guest_yaml("web01", 1, "[10.0.0.2]", attach="direct"), **more}, ALL)
    apply(host, after, tmp_path)
    assert not host.domains["web01"].active
    assert [run.owed() for run in open_runs(tmp_path / "journal")] == [{"web01"}]
    free = replace(after, guests=tuple(replace(guest, hold=False) for guest in after.guests))
    apply(host, free, tmp_path)
    assert host.domains["web01"].active
    assert open_runs(tmp_path / "journal") == ()


def test_a_copy_that_nobody_refers_to_is_dropped_whatever_else_waits(tmp_path: Path) -> None:
    held = {"held": guest_yaml("held", 1, "[10.0.0.11]")}
    before = site(held, ALL)
    host = host_with(before)
    apply(host, before, tmp_path)
    copy = renamed(next(f for f in before.filters if f.name == "guest-arp"), "guest-arp.next-12345678", {})
    host.define_filter(format_filter(copy, temporary_uuid(copy.name)))
    waiting = site({"held": guest_yaml("held", 1, "[10.0.0.9]", more="hold: true")}, ALL)
    plan, _ = apply(host, waiting, tmp_path)
    assert [step.action.target for step in plan.steps] == [f"filter/{copy.name}"]
    assert {each.target for each in plan.waiting} == {"filter/guard-held-000001"}
    assert copy.name not in host.filters


def test_a_guard_that_a_cut_roll_out_left_on_a_copy_and_that_nobody_wants_any_more_goes_with_it(tmp_path: Path) -> None:
    """It is given the original first, so that the copy can go; what is deleted then is no more what was found."""
    text = SITE + b"policy: {prune: true}\n"
    guests = {"old": guest_yaml("old", 1, "[10.0.0.11]"), "web01": guest_yaml("web01", 2, "[10.0.0.12]")}
    before, after = site(guests, text), site({"web01": guests["web01"]}, text)
    host = host_with(before)
    apply(host, before, tmp_path)
    names = {"guest-ipv4": "guest-ipv4.next-12345678"}
    copy = renamed(host.filters["guest-ipv4"].definition, names["guest-ipv4"], {})
    host.define_filter(format_filter(copy, temporary_uuid(copy.name)))
    guard = "guard-old-000001"
    host.define_filter(format_filter(renamed(host.filters[guard].definition, guard, names), mark_uuid(guard)))
    host.destroy_domain("old")
    del host.domains["old"]
    apply(host, after, tmp_path)
    assert not {guard, copy.name} & host.filters.keys()


def test_an_address_changes_though_a_roll_out_inside_its_filter_waits_for_another_guest(tmp_path: Path) -> None:
    held = {"held": guest_yaml("held", 1, "[10.0.0.11]", more="hold: true")}
    before = site({**held, "web01": guest_yaml("web01", 2, "[10.0.0.12]")}, ALL)
    host = host_with(before)
    apply(host, replace(before, guests=tuple(replace(guest, hold=False) for guest in before.guests)), tmp_path)
    after = site({**held, "web01": guest_yaml("web01", 2, "[10.0.0.13]")}, ALL)
    plan, _ = apply(host, with_more_rules(after, "guest-arp", "guest-mac", "guest-rarp"), tmp_path)
    assert [step.action.target for step in plan.steps] == ["filter/guard-web01-000002"]
    assert "filter/guest-ipv4" in {each.target for each in plan.waiting}


def test_a_guest_that_is_to_stay_down_is_stopped_though_the_filters_that_it_would_have_wait(tmp_path: Path) -> None:
    guests = {"held": guest_yaml("held", 1, more="hold: true"), "web01": guest_yaml("web01", 2)}
    before = site(guests, ALL)
    host = host_with(before)
    apply(host, replace(before, guests=tuple(replace(each, hold=False) for each in before.guests)), tmp_path)
    guests["web01"] = guest_yaml("web01", 2, more="power: stopped")
    plan, _ = apply(host, with_more_rules(site(guests, ALL), "guest-mac"), tmp_path)
    assert [step.action.target for step in plan.steps] == ["guest/web01"]
    assert {each.target for each in plan.waiting} == {"filter/guest-mac"}
    assert not host.domains["web01"].active


def test_a_host_that_goes_away_in_the_midst_is_told_with_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can look at it any more, so the error is all that there is."""
    desired = site({"web01": guest_yaml("web01", 1, "[10.0.0.11]"), "db01": guest_yaml("db01", 2, "[10.0.0.2]")}, ALL)
    host = host_with(desired)
    settings = Settings(uri="memory", var=tmp_path)
    seen = app.survey(desired, host, HOST, app.remembered(settings))

    def goes_away(_call: str, target: str) -> None:
        if target == "guard-web01-000001":
            host.fault = gone
            monkeypatch.setattr(MemoryHost, "inspect", gone)

    def gone(*asked: object) -> None:
        raise HostUnreachable(f"libvirt went away when asked to do {asked}")

    host.fault = goes_away
    with pytest.raises(HostUnreachable) as told:
        apply_in_rounds(settings, host, seen, app.plan_of(seen), Wanted())
    (run,) = open_runs(tmp_path / "journal")
    assert f"run {run.name} failed: libvirt went away" in told.value.message
    assert "NOT taken back: filter:guard-web01-000001" in told.value.message
    assert "the host cannot be looked at either" in told.value.message
    assert told.value.hint


def test_a_canary_is_proven_when_rules_of_others_are_gone_from_its_port(tmp_path: Path) -> None:
    """With them it is never what its filter asks for, and no run would ever get further."""
    text = SITE + b"policy: {rollout: canary}\n"
    before = site({name: guest_yaml(name, n, f"[10.0.0.1{n}]") for n, name in enumerate(("a", "b"), 1)}, text)
    host = host_with(before)
    apply(host, before, tmp_path)
    host.foreign.add(("PREROUTING", "-A PREROUTING -p LLDP -i vnet1 -j ACCEPT"))
    plan, _ = apply(host, with_more_rules(before, "guest-arp", "guest-mac"), tmp_path)
    assert {"prove:vnet0", "prove:vnet1"} <= {step.id for step in plan.steps}
    assert host.foreign == set()


@pytest.mark.parametrize("attach", ["direct", "guard"])
def test_an_ignored_rule_of_others_keeps_no_change_of_its_port_from_being_made(tmp_path: Path, attach: str) -> None:
    ignore = f"ignore:\n  - {{object: guest/web01, field: '{mac(1)}.rules.PREROUTING', reason: a probe of ours}}\n"
    before, after = (
        site({"web01": guest_yaml("web01", 1, f"[{address}]", attach=attach)}, SITE + ignore.encode())
        for address in ("10.0.0.11", "10.0.0.12")
    )
    host = host_with(before)
    apply(host, before, tmp_path)
    host.foreign.add(("PREROUTING", "-A PREROUTING -p LLDP -i vnet0 -j ACCEPT"))
    for desired in (after, before):
        apply(host, desired, tmp_path)
        assert not [each for each in app.survey(desired, host, HOST).drift if each.counts]
    host.installed.clear()
    plan, _ = apply(host, before, tmp_path)
    assert [step.action.kind for step in plan.steps] == ["rebuild-port"]
    assert not host.closed and len(host.foreign) == 1


@pytest.mark.parametrize("lost", ["guest-dhcp-server", "guest-rarp"], ids=["unused", "in-use"])
def test_a_file_that_is_gone_is_written_before_the_daemon_is_restarted(tmp_path: Path, lost: str) -> None:
    """It would not know that filter any more, and not even start where a port uses it."""
    text = SITE + b"policy: {disruption: daemon-restart, strategy: restart}\n"
    before = site({"web01": guest_yaml("web01", 1, "[10.0.0.11]")}, text)
    host = host_with(before)
    apply(host, before, tmp_path)
    host.staged[lost] = None
    plan, _ = apply(host, with_more_rules(before, "guest-arp", "guest-mac"), tmp_path)
    assert [step.id for step in plan.steps] == [f"filter:{lost}", "restart"]


def test_a_changed_filter_whose_file_is_gone_is_written_with_the_others_once(tmp_path: Path) -> None:
    text = SITE + b"policy: {disruption: daemon-restart, strategy: restart}\n"
    before = site({"web01": guest_yaml("web01", 1, "[10.0.0.11]")}, text)
    host = host_with(before)
    apply(host, before, tmp_path)
    host.staged["guest-arp"] = None
    plan, _ = apply(host, with_more_rules(before, "guest-arp", "guest-mac"), tmp_path)
    assert [step.id for step in plan.steps] == ["restart"]


def test_a_copy_goes_after_the_restart_that_gives_its_users_the_original(tmp_path: Path) -> None:
    """A canary was cut off, and the policy is another one by now; while the restart waits the copy is in use."""
    text = SITE + b"policy: {disruption: daemon-restart, strategy: restart}\n"
    before = site({"web01": guest_yaml("web01", 1, "[10.0.0.11]")}, text)
    host = host_with(before)
    apply(host, before, tmp_path)
    copy = renamed(host.filters["guest-mac"].definition, "guest-mac.next-12345678", {})
    host.define_filter(format_filter(copy, temporary_uuid(copy.name)))
    user = host.filters["guest-ipv4"]
    switched = renamed(user.definition, user.definition.name, {"guest-mac": copy.name})
    assert switched != user.definition
    host.define_filter(format_filter(switched, user.uuid))
    held = replace(before, guests=tuple(replace(guest, hold=True) for guest in before.guests))
    plan, execution = apply(host, held, tmp_path)
    assert execution is None
    assert f"filter/{copy.name}" in {each.target for each in plan.waiting}
    plan, _ = apply(host, before, tmp_path)
    assert [step.id for step in plan.steps] == ["restart", f"prune:{copy.name}"]


def test_no_daemon_is_restarted_that_has_lost_a_file_which_the_site_cannot_write(tmp_path: Path) -> None:
    text = SITE + b"policy: {disruption: daemon-restart, strategy: restart}\n"
    before = site({"web01": guest_yaml("web01", 1, "[10.0.0.11]")}, text)
    host = host_with(before)
    apply(host, before, tmp_path)
    host.define_filter("<filter name='others'><uuid>11111111-2222-4333-8444-555555555555</uuid></filter>")
    host.define_domain(guest_of_others())
    host.start_domain("other")
    host.staged["others"] = None
    plan, _ = apply(host, with_more_rules(before, "guest-arp", "guest-mac"), tmp_path)
    assert "restart" not in {step.id for step in plan.steps}
    (way,) = (way for way in plan.ways if way.name == "daemon-restart")
    assert "the file of others" in way.why


def guest_of_others() -> str:
    reference = FilterRef("others", ())
    return set_filterref(domain_xml(replace(OTHER, name="other")), mac(9), reference)


OTHER = site({"other": guest_yaml("other", 9, "[10.0.0.90]")}).guests[0]
